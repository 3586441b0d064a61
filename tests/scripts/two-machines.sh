#!/usr/bin/env bash
# Two machines, made of two network namespaces on a veth pair: the index and alice on one, bob on the other, carol on
# the first, a second machine of alice's on the second. Signs up, shares, lists, searches, gets, gets from two holders
# at once, from a holder whose copy is damaged, after a kill -9, unshares; and sees to it that bob is never handed a
# loopback address.
#
#   tests/scripts/two-machines.sh BINARY [MIB]      the shared file has MIB mebibytes, 64 without it
#
# Needs root and the command ip. Ends with 0 and "skipped: ..." where namespaces are not to be had. It uses no address
# outside its own namespaces, and removes namespaces, processes and files when it ends.
set -euo pipefail

[ $# -ge 1 ] || {
    echo "usage: $0 BINARY [MIB]" >&2
    exit 2
}
readonly BINARY=$(realpath "$1") MIB=${2:-64}
readonly ONE=p2p-one-$$ TWO=p2p-two-$$
readonly ONE_IP=10.77.0.1 TWO_IP=10.77.0.2
readonly COMMAND_LIMIT=$((60 + MIB / 4))
# A daemon that was killed is offline within 20 s.
readonly GONE_LIMIT=20
# shellcheck source=tests/scripts/common.sh
. "$(dirname "$0")/common.sh"

# ---- the two machines

also_cleanup() {
    ip netns del "$ONE" 2>/dev/null
    ip netns del "$TWO" 2>/dev/null
}

[ "$(id -u)" = 0 ] || skip "network namespaces need root"
command -v ip >/dev/null || skip "there is no command ip (iproute2)"
ip netns add "$ONE" 2>/dev/null && ip netns add "$TWO" 2>/dev/null || skip "no network namespace can be made here"
ip link add veth0 netns "$ONE" type veth peer name veth0 netns "$TWO" 2>/dev/null || skip "no veth pair can be made here"
ip -n "$ONE" address add $ONE_IP/24 dev veth0
ip -n "$TWO" address add $TWO_IP/24 dev veth0
ip netns exec "$ONE" true 2>/dev/null || skip "no program can be run in a network namespace here"
for machine in "$ONE" "$TWO"; do
    ip -n "$machine" link set lo up
    ip -n "$machine" link set veth0 up
done
make_folder two-machines

# Which machine a node is on.
machine_of() {
    case $1 in
    index | alice | carol) echo "$ONE" ;;
    bob | alice2) echo "$TWO" ;;
    esac
}

where() { prefix=(ip netns exec "$(machine_of "$1")"); }

# The file of a `get` is the one that was shared.
same() {
    cmp "$folder/film.bin" "$1" || fail "$1 is not what was shared"
    ! command -v b3sum >/dev/null || [ "$(b3sum --no-names "$1")" = "$content" ] || fail "b3sum of $1"
}

# Waits until NODE sees USER online: `ready` does not wait for the index.
online() {
    for _ in $(seq 100); do
        ! as "$1" who --json 2>/dev/null | grep -q "\"user\":\"$2\"" || return 0
        sleep 0.1
    done
    fail "$1 does not see $2: $(as "$1" who --json 2>&1)"
}

# The bytes that a holder has given to a node, by the holder's own log: gave HOLDER NODE-ID
gave() {
    grep " served to=${2:0:10} " "$folder/$1.log" | sed -n 's/.* bytes=\([0-9]*\) .*/\1/p' |
        awk '{ sum += $1 } END { printf "%d\n", sum }' || true
}

# Who gave how much, by the answer of a `get` and by the holders' logs; each at least a
# twentieth, as the one across the link is slower than the one on the same machine: from_both GET NODE
from_both() {
    local givers user bytes logged received count=0 size=$((MIB << 20)) id
    ask "$2" id
    id=$said
    # Towards the end two holders may be asked for the same, but not for much of it.
    received=$(values bytes_received "$1")
    [ "$received" -ge "$size" ] && [ "$received" -le $((size + size / 4)) ] ||
        fail "$received bytes were received for $size: $1"
    givers=$(sed 's/.*"sources"://' <<<"$1")
    while read -r user bytes; do
        count=$((count + 1))
        [ "$bytes" -ge $((size / 20)) ] || fail "$user gave less than a twentieth: $1"
        # The holder writes that line once the far end has acknowledged all.
        for _ in $(seq 50); do
            logged=$(gave "$user" "$id")
            [ "$logged" -lt "$bytes" ] || break
            sleep 0.1
        done
        # No upper bound: a stream that the receiver stops, as another holder was faster, ends with bytes that the
        # holder had written and that never left its machine.
        [ "$logged" -ge "$bytes" ] || fail "$user gave $bytes bytes, and $logged by its own log: $1"
        echo "   $user gave $bytes bytes, $logged by its own log"
    done < <(paste -d ' ' <(values user "$givers") <(values bytes "$givers"))
    [ "$count" = 2 ] || fail "not from two holders: $1"
}

# What bob is told of others must be reachable from the other machine.
no_loopback() {
    local seen
    online bob alice
    seen=$(as bob who --json)
    for address in $(values address "$seen"); do
        case $address in
        10.77.0.*) ;;
        *) fail "bob was handed the address $address ($1)" ;;
        esac
    done
    echo "   bob sees: $(values address "$seen" | tr '\n' ' ')($1)"
}

loopback_packets() { ip netns exec "$TWO" cat /sys/class/net/lo/statistics/tx_packets; }

# ---- what is shown

step "an index and alice on one machine, bob on the other"
start index index
network=$(ready index | cut -d@ -f1)
grep -q "@$ONE_IP:4820\$" "$folder/index.ready" || fail "the index says $(cat "$folder/index.ready")"
start alice run --index "$network@127.0.0.1:4820"
mkdir "$folder/bob"
echo "index = \"$network@$ONE_IP:4820\"" >"$folder/bob/config.toml"
start bob run
for user in alice bob; do sign_up $user; done
no_loopback "alice is connected to the index at 127.0.0.1"

step "share, list, search"
head -c "${MIB}M" /dev/urandom >"$folder/film.bin"
shared=$(as alice share "$folder/film.bin" --name holiday-film.bin --json)
content=$(values content "$shared")
[ "$(values size "$shared")" = $((MIB << 20)) ] || fail "share says $shared"
for query in list "search film" "search oli" "search ho" "search owner:alice"; do
    # shellcheck disable=SC2086 # a command and its arguments
    found=$(as bob $query --json)
    [ "$(values content "$found")" = "$content" ] || fail "'$query' says $found"
done

step "bob gets it from the other machine"
got=$(as bob get alice/holiday-film.bin --json --quiet)
[ "$(values content "$got")" = "$content" ] || fail "get says $got"
bobs=$folder/bob/downloads/alice/holiday-film.bin
same "$bobs"
echo "   $((MIB << 20)) bytes in $(grep -o '"seconds":[0-9.]*' <<<"$got" | cut -d: -f2) s"

step "the same with alice connected at the other address of the index"
stop alice
start alice run --index "$network@$ONE_IP:4820"
no_loopback "alice is connected to the index at $ONE_IP"
# Bob alone is on his machine so far: whatever he sent to a loopback address went over that interface.
[ "$(loopback_packets)" = 0 ] || fail "bob's machine has sent $(loopback_packets) packets over its loopback interface"
expect 0 bob get alice/holiday-film.bin -o "$folder/again.bin" --no-share
same "$folder/again.bin"

step "a peer that listens on loopback alone has no address for bob"
start carol run --listen 127.0.0.1:0 --index "$network@127.0.0.1:4820"
sign_up carol
no_loopback "carol listens on 127.0.0.1"
stop carol

step "carol gets it from both at once"
start carol run --index "$network@$ONE_IP:4820"
got=$(as carol get alice/holiday-film.bin --json --quiet)
same "$folder/carol/downloads/alice/holiday-film.bin"
from_both "$got" carol
ask bob list --json
[ "$(values holders "$said")" = 3 ] || fail "not three holders: $said"

step "a kill -9 of bob's daemon: gone from 'who' soon, and let in again at once"
kill_9 bob
killed=$(date +%s%3N)
gone_after() { echo $(($(date +%s%3N) - killed)); }
while ask alice who --json && grep -q '"user":"bob"' <<<"$said"; do
    [ "$(gone_after)" -le $((GONE_LIMIT * 1000)) ] || fail "bob is still online: $said"
    sleep 0.1
done
grep -q '"user":"alice"' <<<"$said" || fail "alice does not see herself: $said"
echo "   gone after $(gone_after) ms"
start bob run
online bob bob

step "bob's copy is damaged, its size and times kept; alice's second machine still gets the right one"
touch -r "$bobs" "$folder/times"
dd if=/dev/zero of="$bobs" bs=1M seek=$((MIB / 4)) count=$((MIB / 4)) conv=notrunc status=none
touch -r "$folder/times" "$bobs"
start alice2 run --index "$network@$ONE_IP:4820"
as alice2 login alice --password-stdin <<<"the password of alice" >/dev/null
got=$(as alice2 get alice/holiday-film.bin --json --quiet)
same "$folder/alice2/downloads/alice/holiday-film.bin"
givers=$(sed 's/.*"sources"://' <<<"$got")
echo "   $(paste -d ' ' <(values user "$givers") <(values bytes "$givers") | tr '\n' ' ')"
no_loopback "alice has two machines"

step "unshared: gone for all, and only its owner may"
expect 4 bob unshare alice/holiday-film.bin
expect 0 alice unshare holiday-film.bin
for node in alice bob carol alice2; do
    ask $node list --json
    [[ $said == '{"items":[],'* ]] || fail "$node still lists $said"
done
expect 3 carol get alice/holiday-film.bin -o "$folder/gone.bin"

step "everything stops"
for node in alice alice2 bob carol index; do stop "$node"; done
echo "two machines: all good"
