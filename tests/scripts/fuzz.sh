#!/usr/bin/env bash
# Fuzzes the decoders of the protocol: fuzz.sh SECONDS [TARGET...]
#
# Each target of wire/fuzz (all without TARGET) runs for so many seconds on what it found before and on the test vectors.
# An input that is found to break something is kept, its path is printed, and the script ends with 1. Needs a C++
# compiler; without one it says "skipped: " and why. cargo-fuzz works too: `cargo fuzz run --fuzz-dir wire/fuzz TARGET`.
set -euo pipefail
cd "$(dirname "$0")/../.."

if [ $# -lt 1 ] || ! [ "$1" -gt 0 ] 2>/dev/null; then
    sed -n 's/^# //p' "$0" | head -n 1 >&2
    exit 2
fi
readonly SECONDS_EACH=$1
shift
targets=("$@")
[ ${#targets[@]} != 0 ] || targets=(decode round_trip frames manifest catalogue)

if ! { command -v c++ || command -v g++ || command -v clang++; } >/dev/null 2>&1; then
    echo "skipped: needs a C++ compiler (g++)"
    exit 0
fi

target_dir=${CARGO_TARGET_DIR:-$PWD/target}/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
# What cargo-fuzz sets, without a sanitizer: the code here has no unsafe part. A target triple keeps it off build scripts.
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
# shellcheck disable=SC2086 # the spaces between the flags are no part of them
RUSTFLAGS=$(echo $coverage) cargo build --release --locked --manifest-path wire/fuzz/Cargo.toml \
    --target "$host" --target-dir "$target_dir" "${targets[@]/#/--bin=}"
cargo run --quiet --locked --manifest-path wire/fuzz/Cargo.toml --target-dir "$target_dir/seeds-build" --bin seeds -- \
    "$target_dir/seeds"

status=0
for target in "${targets[@]}"; do
    found=$target_dir/corpus/$target
    log=$target_dir/$target.log
    mkdir -p "$found" "$target_dir/artifacts"
    printf -- '-- %s for %s s\n' "$target" "$SECONDS_EACH"
    # An input is as long as a frame of a stranger at most; one run takes 10 s and 1 GiB at most, one allocation 64 MiB.
    if "$target_dir/$host/release/$target" -max_total_time="$SECONDS_EACH" -max_len=65536 -timeout=10 \
        -rss_limit_mb=1024 -malloc_limit_mb=64 -print_final_stats=1 -verbosity=0 \
        -artifact_prefix="$target_dir/artifacts/$target-" "$found" "$target_dir/seeds/$target" >"$log" 2>&1; then
        sed -n 's/^stat::number_of_executed_units: */   inputs tried: /p; s/^stat::new_units_added: */   new ones kept: /p' "$log"
    else
        tail -n 40 "$log" >&2
        printf 'FAILED: %s; the input is in %s\n' "$target" "$target_dir/artifacts" >&2
        status=1
    fi
done
exit $status
