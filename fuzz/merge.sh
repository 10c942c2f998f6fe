#!/usr/bin/env bash
# Adds to the corpora what run.sh has found, as far as it reaches code that they do not reach.
set -euo pipefail
cd "$(dirname "$0")"

for found in target/found/*/; do
    target=$(basename "$found")
    cargo +stable fuzz run --sanitizer none "$target" "corpus/$target" "$found" -- \
        -set_cover_merge=1 -use_counters=0 -max_len=1024 -verbosity=0
done
