#!/usr/bin/env bash
# Writes constraints.txt: the newest versions that fit pyproject.toml, as one fresh installation resolves them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m venv "$scratch/venv"
"$scratch/venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
"$scratch/venv/bin/python" -m pip freeze --disable-pip-version-check --exclude-editable | sort --ignore-case >"$scratch/pins"
mv "$scratch/pins" constraints.txt
echo "constraints.txt: $(wc -l <constraints.txt) packages"
