# `make` alone lists what there is. Needs Python 3.11 or newer with pip, and nothing else, for `make run`.

PY := .venv/bin/python
.DEFAULT_GOAL := help
.PHONY: help run test check format bench screenshots fuzz lock reference clean environment dev-environment

help: ## List these helpers
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 22
	@echo
	@echo "  make run ARGS='--no-sim'     ARGS go to the command: see .venv/bin/pulso up --help"
	@echo "  make test ARGS='-k wall'     and to pytest"

environment:
	@scripts/environment.sh run

dev-environment:
	@scripts/environment.sh dev

run: environment ## Run everything on this machine; Ctrl-C stops it
	@exec .venv/bin/pulso up $(ARGS)

test: dev-environment ## Run all tests, with the real services they need
	@scripts/services.sh
	@scripts/test.sh $(PY) $(ARGS)

check: dev-environment ## Check format, style and types
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy

format: dev-environment ## Format the code
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix --quiet .

bench: dev-environment ## Measure, as ratios of one run
	@scripts/services.sh
	@for name in ingest engine; do $(PY) -m bench.$$name || exit 1; done

screenshots: dev-environment ## Take the pictures of the documentation
	@scripts/services.sh
	@$(PY) scripts/screenshots.py $(ARGS)

fuzz: dev-environment ## Fuzz the decoders for ten minutes (ARGS go to libFuzzer)
	@$(PY) -m tests.fuzz.decoders $(or $(TMPDIR),/tmp)/pulso-corpus -max_total_time=600 -timeout=5 -max_len=4096 $(ARGS)

lock: ## Pin the newest versions that fit, in constraints.txt
	@scripts/lock.sh

reference: environment ## Write .env.example and the catalogue of indicators
	@$(PY) scripts/settings_reference.py
	@$(PY) scripts/kpi_catalogue.py

clean: ## Remove the environment and all caches; data (.pulso) and built services (.services) stay
	@rm -rf .venv build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -not -path './.pulso/*' -prune -exec rm -rf {} +
