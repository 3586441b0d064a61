# What the scripts here have in common: nodes as processes, commands on them, and the end of all of it. To be sourced by
# a script that has set BINARY and COMMAND_LIMIT (seconds); it may then define `where` and `also_cleanup` anew.
# shellcheck shell=bash disable=SC2154

readonly START_LIMIT=30
# The process of each daemon, by the name of its node.
declare -A daemons=()
step_name="starting"
folder=

for variable in ${!P2P_NODE_*}; do unset "$variable"; done

skip() {
    echo "skipped: $*"
    exit 0
}
fail() {
    echo "FAILED, $step_name: $*" >&2
    exit 1
}
step() {
    step_name=$1
    echo "-- $1"
}

# Sets `prefix`, the words that run a command on the machine of a node: where NODE
prefix=()
where() { :; }
also_cleanup() { :; }

cleanup() {
    local status=$? name
    set +e
    for name in "${!daemons[@]}"; do kill "${daemons[$name]}" 2>/dev/null; done
    for _ in $(seq 50); do
        [ -n "$(jobs -rp)" ] || break
        sleep 0.1
    done
    for name in "${!daemons[@]}"; do kill -9 "${daemons[$name]}" 2>/dev/null; done
    wait 2>/dev/null
    if [ "$status" != 0 ] && [ -n "$folder" ]; then
        for log in "$folder"/*.log; do
            [ -s "$log" ] && echo "---- the end of $(basename "$log")" >&2 && tail -n 20 "$log" >&2
        done
    fi
    also_cleanup
    [ -z "$folder" ] || rm -rf "$folder"
    exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

[ -x "$BINARY" ] || fail "there is no program $BINARY"

make_folder() { folder=$(mktemp -d "${TMPDIR:-/tmp}/$1.XXXXXX"); }

# A command on a node: as NODE WORD...
as() {
    local node=$1
    shift
    where "$node"
    timeout "$COMMAND_LIMIT" "${prefix[@]}" "$BINARY" --home "$folder/$node" "$@"
}

# The same, which must end with this code: expect CODE NODE WORD...
expect() {
    local wanted=$1 status=0
    shift
    as "$@" >"$folder/out" 2>&1 || status=$?
    [ "$status" = "$wanted" ] || fail "'$*' ended with $status, not $wanted: $(cat "$folder/out")"
}

# What a command says, which must go well, into the variable `said`: ask NODE WORD...
said=
ask() {
    expect 0 "$@"
    said=$(<"$folder/out")
}

# Starts a daemon and waits for its line `ready`: start NODE WORD...
start() {
    local node=$1
    shift
    where "$node"
    : >"$folder/$node.ready"
    P2P_NODE_LOG=info,p2p_node=debug "${prefix[@]}" "$BINARY" --home "$folder/$node" "$@" \
        >"$folder/$node.ready" 2>>"$folder/$node.log" &
    daemons[$node]=$!
    for _ in $(seq $((START_LIMIT * 10))); do
        ! grep -q '^ready ' "$folder/$node.ready" || return 0
        kill -0 "${daemons[$node]}" 2>/dev/null || break
        sleep 0.1
    done
    fail "the daemon of $node is not ready: $(tail -n 3 "$folder/$node.log")"
}

# What a daemon printed as ready, its second word: ready NODE
ready() { sed -n 's/^ready //p' "$folder/$1.ready"; }

stop() {
    as "$1" stop >/dev/null
    wait "${daemons[$1]}" || fail "the daemon of $1 ended with $?"
    unset "daemons[$1]"
}

# kill -9 of the daemons of these nodes, in this order and at once: kill_9 NODE...
kill_9() {
    local node
    for node in "$@"; do kill -9 "${daemons[$node]}"; done
    for node in "$@"; do
        wait "${daemons[$node]}" 2>/dev/null || true
        unset "daemons[$node]"
    done
}

sign_up() { as "$1" signup "$1" --password-stdin <<<"the password of $1" >/dev/null; }

# Every value of a key of one JSON document, without a JSON parser: values KEY DOCUMENT
values() { grep -o "\"$1\":\(\"[^\"]*\"\|[0-9]*\)" <<<"$2" | cut -d: -f2- | tr -d '"' || true; }
