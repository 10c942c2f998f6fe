#!/bin/sh
# Compares swiftd with other servers; see README.md. Arguments go to compare.py (try --help).
command -v python3 >/dev/null || { echo "compare: python3 is missing" >&2; exit 1; }
exec python3 -B "$(dirname "$0")/compare.py" "$@"
