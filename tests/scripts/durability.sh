#!/usr/bin/env bash
# What a `share` that returned is worth: the index is killed right after it, and the peer that shared too, so that nobody
# but the index's own database knows of the resource. Started again, the index must list it, and all of the rounds before.
# Where strace is to be had, each sync of the index is then held up, and no share may return before one could be over.
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
# How much later each sync of the index begins under the trace, in microseconds: what is acknowledged before its sync
# returns sooner.
readonly SYNC_DELAY=200000
# shellcheck source=tests/scripts/common.sh
. "$(dirname "$0")/common.sh"
make_folder durability

# A file that no other round has, shared by alice, and how long it took, in microseconds: share NUMBER
share() {
    echo "round $1 of $$" >"$folder/file-$1.txt"
    local begun=${EPOCHREALTIME/[.,]/}
    expect 0 alice share "$folder/file-$1.txt" --json
    took=$((${EPOCHREALTIME/[.,]/} - begun))
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
fastest=$((COMMAND_LIMIT * 1000000))
for round in $(seq "$ROUNDS"); do
    share "$round"
    [ "$took" -ge "$fastest" ] || fastest=$took
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

# ---- syncs that are held up

step "no share returns before the index has synced it"
finish() {
    echo "durability: all good"
    exit 0
}
command -v strace >/dev/null || {
    echo "skipped: syncs are held up by strace"
    finish
}
[ "$fastest" -lt $((SYNC_DELAY / 2)) ] || {
    echo "skipped: a share takes $fastest us here without any delay, too long to tell one of $SYNC_DELAY us"
    finish
}
trace=$folder/trace
traced=(strace -D -f -y -s 0 -o "$trace" -e trace=fdatasync,fsync
    -e "inject=fdatasync,fsync:delay_enter=$SYNC_DELAY")
strace -o /dev/null -e inject=fsync:delay_enter=1 true 2>/dev/null || {
    echo "skipped: strace cannot trace, or not delay, system calls here"
    finish
}
where() { if [ "$1" = index ]; then prefix=("${traced[@]}"); else prefix=(); fi; }
start index index --listen "${INDEX#*@}"
where() { prefix=(); }
start "${ALICE[@]}"
share warm-up
syncs() { grep -c 'index\.db-wal>.*\(= 0\|<unfinished\)' "$trace" || true; }
before=$(syncs)
fastest=$took
for number in $(seq "$TRACED"); do
    share "traced-$number"
    [ "$took" -ge "$fastest" ] || fastest=$took
    [ "$took" -ge "$SYNC_DELAY" ] || fail "a share returned after $took us, a sync takes $SYNC_DELAY us or more"
done
after=$(syncs)
echo "   $TRACED shares, $((after - before)) syncs of $SYNC_DELAY us or more, the fastest share $fastest us"
[ $((after - before)) -ge "$TRACED" ] || fail "fewer syncs than shares"
stop alice
stop index
finish
