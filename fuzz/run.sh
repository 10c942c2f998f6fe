#!/usr/bin/env bash
# Fuzzes the targets that are named, or all, for SECONDS_EACH; see README.md.
set -euo pipefail
cd "$(dirname "$0")"

: "${SECONDS_EACH:=60}" "${TOOLCHAIN:=stable}" "${SANITIZER:=none}"

if [ $# -eq 0 ]; then
    set -- $(cd fuzz_targets && printf '%s\n' *.rs | sed 's/\.rs$//')
fi

for target; do
    found=target/found/$target
    mkdir -p "$found"
    set -- "$found" "corpus/$target"
    [ -d "regressions/$target" ] && set -- "$@" "regressions/$target"
    echo "== $target, $SECONDS_EACH s"
    # What is new goes to the first directory, outside of the repository.
    cargo "+$TOOLCHAIN" fuzz run --sanitizer "$SANITIZER" "$target" "$@" -- \
        -dict="dictionaries/$target.dict" -max_total_time="$SECONDS_EACH" \
        -print_final_stats=1 -verbosity=0
done
