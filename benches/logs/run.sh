#!/bin/sh
# What a log of requests costs: processor time of the server for each request, without and with the
# combined log into a file, in turns. Usage: benches/logs/run.sh [PAIRS [SECONDS]]. Needs wrk.
command -v wrk >/dev/null || { echo "logs: wrk is missing" >&2; exit 1; }
exec python3 -B "$(dirname "$0")/logs.py" "$@"
