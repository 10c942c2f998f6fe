#!/bin/sh
# What reloading plugins costs those who are being served:
#
#   benches/plugins/run.sh            reloads under full load (1,000), then the stall of the loop
#   benches/plugins/run.sh stall      the stall alone
#   benches/plugins/run.sh load       the load alone
#
# RELOADS, SECONDS_EACH, ROUNDS, RATE change how much. The server runs on processor 0 and the
# client on processor 1, both before other programs if that is allowed. Prints tables; decides
# nothing, but a request that fails is an error.
set -eu
cd "$(dirname "$0")/../.."
target=${CARGO_TARGET_DIR:-target}
what=${1:-all}

if [ "$what" != stall ]; then
    SWIFTD_RELOADS=${RELOADS:-1000} cargo test --release --test plugin_reload -- \
        --nocapture --exact load::reloads_under_load_fail_no_request_and_leave_nothing
fi
[ "$what" != load ] || exit 0

cargo build --profile plugin -p swiftd-plugin-hello
cargo bench --no-run --bench plugin_stall
cc -Os -fPIC -shared -fvisibility=hidden -s -Iplugins/include -DNAME='"a"' -DVERSION=1 \
    tests/plugin_reload/versioned.c -o "$target/stall-a.so"

# A session of its own, which the kernel's scheduler puts before the other sessions of the machine;
# within it server, helper threads, trials and client compete as they always do.
target=$(cd "$target" && pwd)
export WRAPPER="taskset -c 0" LIBRARY_C="$target/stall-a.so"
export LIBRARY_RUST="$target/plugin/libhello.so"
setsid --wait sh -c '
    { echo -20 > /proc/self/autogroup; } 2>/dev/null || echo "other programs disturb this" >&2
    exec taskset -c 1 cargo bench --quiet --bench plugin_stall
'
