#!/usr/bin/env bash
# Makes .venv and installs Pulso into it: `environment.sh run` what it needs to run, `environment.sh dev` also what
# its tests and checks need. Does nothing when that is done already for the present pyproject.toml and constraints.txt.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

wanted="${1:-run}"
stamp=.venv/installed
state="$(cat pyproject.toml constraints.txt | cksum)"

case "$(cat "$stamp" 2>/dev/null || true)" in
    "dev $state") exit 0 ;;
    "run $state") [ "$wanted" = dev ] || exit 0 ;;
esac

# The versions of which all dependencies have binary packages, the usual `python3` first.
find_python() {
    local name
    for name in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.14 python}; do
        if "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))' >/dev/null 2>&1; then
            command -v "$name"
            return
        fi
    done
    echo "Pulso needs Python 3.11 to 3.14, and none was found on PATH (or name one: make PYTHON=/path/to/python)." >&2
    exit 1
}

# Some distributions leave ensurepip out of Python; then the environment is made without pip and filled from outside.
make_environment() {
    local python="$1"
    rm -rf .venv
    if "$python" -c 'import ensurepip' >/dev/null 2>&1; then
        "$python" -m venv .venv
    else
        "$python" -m venv --without-pip .venv
        "$python" -m pip --python .venv/bin/python install --quiet --disable-pip-version-check pip
    fi
}

if ! .venv/bin/python -c '' >/dev/null 2>&1; then
    python="$(find_python)"
    echo "making .venv with $("$python" --version)"
    make_environment "$python"
fi

target=.
[ "$wanted" = run ] || target='.[dev]'
echo "installing Pulso and what it needs (once; half a minute or so)"
.venv/bin/python -m pip install -qq --disable-pip-version-check --no-warn-script-location \
    --constraint constraints.txt --editable "$target"
echo "$wanted $state" >"$stamp"
