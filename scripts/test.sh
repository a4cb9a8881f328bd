#!/usr/bin/env bash
# All tests, in two runs side by side, as most of the time one of them waits for a server: acceptance beside those that only
# reckon and those of the database. What the second run prints comes at the end. With arguments, just `pytest` with these.
set -euo pipefail
python="$1"
shift
if [ $# -gt 0 ]; then
    exec "$python" -m pytest "$@"
fi

printed="$(mktemp)"
beside=
trap '[ -z "$beside" ] || kill "$beside" 2>/dev/null; rm -f "$printed"' EXIT
of_database=(tests/integration/test_{ingest,operations,kpi_engine}*.py)
"$python" -m pytest -o cache_dir=.pytest_cache/beside tests/unit tests/properties "${of_database[@]}" >"$printed" 2>&1 &
beside=$!

status=0
"$python" -m pytest tests/acceptance tests/integration "${of_database[@]/#/--ignore=}" || status=$?
wait "$beside" || status=$?
beside=
cat "$printed"
exit "$status"
