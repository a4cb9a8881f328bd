#!/usr/bin/env bash
# All tests: those that only reckon run beside those that start servers, which mostly wait for them. What the first ones
# print comes when the others are done. With arguments, just `pytest` with these.
set -euo pipefail
python="$1"
shift
if [ $# -gt 0 ]; then
    exec "$python" -m pytest "$@"
fi

printed="$(mktemp)"
reckoning=
trap '[ -z "$reckoning" ] || kill "$reckoning" 2>/dev/null; rm -f "$printed"' EXIT
"$python" -m pytest -o cache_dir=.pytest_cache/reckoning tests/unit tests/properties >"$printed" 2>&1 &
reckoning=$!

status=0
"$python" -m pytest tests/acceptance tests/integration || status=$?
wait "$reckoning" || status=$?
reckoning=
cat "$printed"
exit "$status"
