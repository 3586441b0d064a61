#!/usr/bin/env bash
# What a `share` that returned is worth: the index is killed right after it, and the peer that shared too, so that nobody
# but the index's own database knows of the resource. Started again, the index must list it, and all of the rounds before.
# Where strace is to be had, a trace of the index's system calls then shows that each commit was synced before anything
# that could acknowledge it was sent.
#
#   tests/scripts/durability.sh BINARY [ROUNDS]      20 rounds without it
#
# Uses nothing but loopback. Ends with 0 if all is good; "skipped: ..." names what could not be tried.
set -euo pipefail

[ $# -ge 1 ] || {
    echo "usage: $0 BINARY [ROUNDS]" >&2
    exit 2
}
readonly BINARY=$(realpath "$1") ROUNDS=${2:-20}
readonly COMMAND_LIMIT=60
# Shares under the trace.
readonly TRACED=10
# How much later each sync begins under the trace, in microseconds: what is sent too early comes out then.
readonly SYNC_DELAY=50000
# Packets that are larger may be answers, in bytes of payload; those that only acknowledge packets are smaller.
readonly ANSWER_BYTES=100
# shellcheck source=tests/scripts/common.sh
. "$(dirname "$0")/common.sh"
make_folder durability

# A file that no other round has, shared by alice: share NUMBER
share() {
    echo "round $1 of $$" >"$folder/file-$1.txt"
    expect 0 alice share "$folder/file-$1.txt" --json
}

# ---- killed right after a share

step "an index, a user there to ask it, and alice's peer"
start index index --listen 127.0.0.1:0
readonly INDEX=$(ready index)
readonly ALICE=(alice run --listen 127.0.0.1:0 --index "$INDEX")
sign_up index
start "${ALICE[@]}"
sign_up alice

step "$ROUNDS times: share, kill -9 of the index and of alice's peer, the index again: listed"
for round in $(seq "$ROUNDS"); do
    share "$round"
    kill_9 index alice
    content=$(values content "$(<"$folder/out")")
    start index index --listen "${INDEX#*@}"
    ask index list --json
    grep -q "\"name\":\"file-$round.txt\"[^}]*\"content\":\"$content\"" <<<"$said" || fail "round $round is lost: $said"
    [ "$(values name "$said" | wc -l)" = "$round" ] || fail "after round $round an earlier one is lost: $said"
    start "${ALICE[@]}"
done
echo "   $ROUNDS of $ROUNDS listed"
stop alice
stop index

# ---- system calls

step "a sync between each commit and what acknowledges it"
finish() {
    echo "durability: all good"
    exit 0
}
command -v strace >/dev/null || {
    echo "skipped: the trace of system calls needs strace"
    finish
}
trace=$folder/trace
traced=(strace -D -f -y -s 0 -o "$trace" -e "inject=fdatasync,fsync:delay_enter=$SYNC_DELAY"
    -e trace=write,writev,pwrite64,pwritev,pwritev2,fdatasync,fsync,sendto,sendmsg,sendmmsg)
strace -o /dev/null -e inject=fsync:delay_enter=1 true 2>/dev/null || {
    echo "skipped: strace cannot trace, or not delay, system calls here"
    finish
}
where() { if [ "$1" = index ]; then prefix=("${traced[@]}"); else prefix=(); fi; }
start index index --listen "${INDEX#*@}"
where() { prefix=(); }
start "${ALICE[@]}"
# From here on there are no probes for larger packets, which are no answers.
share warm-up
begun=$(wc -l <"$trace")
for number in $(seq "$TRACED"); do share "traced-$number"; done
port=$(ready alice | sed 's/.*://')
daemon=${daemons[index]}
stop alice
stop index
# The tracer goes its own way.
for _ in $(seq 100); do
    ! grep -q "^$daemon .*+++ exited" "$trace" || break
    sleep 0.1
done

tail -n +"$((begun + 1))" "$trace" | awk -v port="port=htons($port)" -v least="$ANSWER_BYTES" -v shares="$TRACED" '
    function result(line) { sub(/.*\) += /, "", line); return line + 0 }
    function synced(up_to) { if (unsynced && up_to == written) { unsynced = 0; commits++ } }
    function sent(too_early) {
        if (result($0) < least) return
        if (too_early) { early++; print "   sent before the sync: " substr($0, 1, 100) }
        if (commits > answered_commits) { answered_commits = commits; answers++ }
    }
    # What is written counts from the beginning of the call, a sync from its end, a packet from the beginning of its call;
    # its size is known at the end.
    /index\.db-wal>/ {
        if ($0 ~ /write(v|v2|64)?\(/) { unsynced = 1; written++ }
        else if ($0 ~ /<unfinished/) syncing[$1] = written
        else if ($0 ~ /= 0/) synced(written)
        next
    }
    /<\.\.\. f(data)?sync resumed>/ { if ($1 in syncing && $0 ~ /= 0/) synced(syncing[$1]); delete syncing[$1]; next }
    /send(to|msg|mmsg)\(/ && index($0, port) {
        if ($0 ~ /<unfinished/) sending[$1] = unsynced
        else sent(unsynced)
        next
    }
    /<\.\.\. send(to|msg|mmsg) resumed>/ { if ($1 in sending) sent(sending[$1]); delete sending[$1] }
    END {
        printf "   %d commits, %d answers of %d bytes or more after a sync, %d before\n", commits, answers, least, early
        exit early > 0 || answers < shares
    }' || fail "something was acknowledged before it was synced, or the trace has not all of $TRACED shares"
finish
