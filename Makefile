# `make` lists what there is. Python 3.11 or later and make are enough; everything else comes from here.

SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
HISTORIES ?= 100000
SEED ?= 1
SECONDS ?= 300
INTO ?=
BENCH ?=

.DEFAULT_GOAL := help

.PHONY: help
help: ## list what there is
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; $(PYTHON) is older. Try: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setting up $(VENV) (once; a minute or two) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev,traces,watch]'
	@touch $@

.PHONY: setup
setup: $(READY) ## install everything into .venv; the other targets do it by themselves

.PHONY: demo
demo: $(READY) ## play real budgets through real Kafka, Postgres and worker, and check what comes of them
	@$(BIN)/python -m demo

.PHONY: test
test: $(READY) ## run every test, on real Kafka and Postgres
	@$(BIN)/python -m pytest -n 4 --dist worksteal

.PHONY: test-unit
test-unit: $(READY) ## run the tests of the pure rules alone: seconds
	@$(BIN)/python -m pytest tests/unit

.PHONY: crashes
crashes: $(READY) ## kill the worker at each step of a message's way, and reconcile (three minutes)
	@$(BIN)/python -m tests.exactly_once crashes $(INTO)

.PHONY: chaos
chaos: $(READY) ## break everything while budgets go round, and reconcile: SECONDS=300 SEED=1
	@$(BIN)/python -m tests.exactly_once chaos --seconds $(SECONDS) --seed $(SEED) $(INTO)

.PHONY: guarantees
guarantees: ## run both, and put their tables into docs/guarantees.md
	@$(MAKE) --no-print-directory crashes INTO="--into docs/guarantees.md"
	@$(MAKE) --no-print-directory chaos INTO="--into docs/guarantees.md"

.PHONY: laws
laws: $(READY) ## play random histories against the five laws: HISTORIES=100000 SEED=1
	@$(BIN)/python -m tests.laws --histories $(HISTORIES) --seed $(SEED)

.PHONY: bench
bench: $(READY) ## measure the whole path against its two yardsticks (BENCH=--quick for a look)
	@$(BIN)/python -m bench $(BENCH)

.PHONY: check
check: $(READY) ## everything that CI runs besides the tests: format, lint, types, import rules, docs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > .lint-imports.log || { cat .lint-imports.log; exit 1; }
	@$(BIN)/python docs/write_messages.py --check
	@echo "format, lint, types, import rules and docs are in order"

.PHONY: format
format: $(READY) ## format the code and mend what can be mended by itself
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

.PHONY: docs
docs: $(READY) ## write docs/messages.md from the message models
	@$(BIN)/python docs/write_messages.py

.PHONY: constraints
constraints: ## pin every package anew, from pyproject.toml alone
	@rm -rf .constraints && $(PYTHON) -m venv .constraints
	@.constraints/bin/python -m pip install --quiet --disable-pip-version-check -e '.[demo,dev,traces,watch]'
	@{ echo "# Written by 'make constraints'."; .constraints/bin/python -m pip freeze --exclude-editable; } > constraints.txt
	@rm -rf .constraints

.PHONY: clean
clean: ## remove the environment and all caches
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .lint-imports.log
