# `make` lists the commands. Python 3.11 or later and make are enough; everything else is installed from here.

SHELL := /bin/bash
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# `make test PYTHON=/path/to/python3.13` has an environment of its own, .venv-3.13, and leaves .venv as it is.
VENV := .venv$(if $(filter file,$(origin PYTHON)),,-$(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'))
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# What the image has: the wheel with the extra for traces, and no tools.
WHEEL_VENV := $(VENV)-wheel
WHEEL_READY := $(WHEEL_VENV)/.ready
QUIET := --quiet --disable-pip-version-check
ROOMS := contracts desk handlers outbox worker
HISTORIES ?= 100000
SEED ?= 1
SECONDS ?= 300
INTO ?=
BENCH ?=
TESTS ?=
UPGRADE ?=
# The tests start some hundred processes of ours: compiling every module at each start took over half of their CPU.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "Python 3.11 or later is needed; $(PYTHON) is older. Try: make PYTHON=/path/to/python3.11"; exit 1; }
	@echo "setting up $(VENV) (once; a minute or two) ..."
	@$(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install $(QUIET) --require-hashes -r requirements/dev.txt
	@$(BIN)/python -m pip install $(QUIET) --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: setup
setup: $(READY) ## install everything into .venv; the other commands do this by themselves

.PHONY: demo
demo: $(READY) ## play real budgets through real Kafka, Postgres and the worker, and check the results
	@$(BIN)/python -m demo

.PHONY: desk
desk: $(READY) ## open the desk over a deployment with a dozen budgets, and be one of five people there
	@$(BIN)/python -m demo.desk

.PHONY: test
test: $(READY) ## run every test, on real Kafka and Postgres (PYTHON=/path/to/python3.13: on another Python)
	@$(BIN)/python -m pytest -n 6 --dist load --maxschedchunk 1 --share-servers $(TESTS)

.PHONY: test-unit
test-unit: $(READY) ## run the tests that need no server: about a minute
	@$(BIN)/python -m pytest -n 2 tests/unit tests/packaging/test_wheel.py

.PHONY: wheel
wheel: $(READY) ## build the wheel and the sdist into dist/
	@rm -rf dist && $(BIN)/python -m hatchling build -d dist

# Built again at each change of a room, and never from an old dist/.
$(WHEEL_READY): $(READY) README.md LICENSE requirements/worker.txt $(shell find $(ROOMS) -type f -not -name '*.pyc')
	@$(MAKE) --no-print-directory wheel
	@rm -rf $(WHEEL_VENV) && $(PYTHON) -m venv $(WHEEL_VENV)
	@$(WHEEL_VENV)/bin/python -m pip install $(QUIET) --only-binary :all: --require-hashes -r requirements/worker.txt
	@$(WHEEL_VENV)/bin/python -m pip install $(QUIET) --no-deps dist/*.whl
	@touch $@

.PHONY: demo-wheel
demo-wheel: $(WHEEL_READY) ## play the demo with a worker installed from the wheel, sealed in as in the image
	@$(WHEEL_VENV)/bin/python -m pip --disable-pip-version-check check
	@$(WHEEL_VENV)/bin/python -I tests/packaging/root_packages.py
	@PYTHONPATH= BUDGET_BRIDGE=".ci/sealed $(WHEEL_VENV) budget-bridge" $(BIN)/python -m demo

.PHONY: crashes
crashes: $(READY) ## kill the worker at each step of a message's path, and reconcile (three minutes)
	@$(BIN)/python -m tests.exactly_once crashes $(INTO)

.PHONY: chaos
chaos: $(READY) ## break everything while budgets are carried, and reconcile: SECONDS=300 SEED=1
	@$(BIN)/python -m tests.exactly_once chaos --seconds $(SECONDS) --seed $(SEED) $(INTO)

.PHONY: guarantees
guarantees: ## run both, and write their tables into docs/guarantees.md
	@$(MAKE) --no-print-directory crashes INTO="--into docs/guarantees.md"
	@$(MAKE) --no-print-directory chaos INTO="--into docs/guarantees.md"

.PHONY: laws
laws: $(READY) ## play random histories against the laws: HISTORIES=100000 SEED=1
	@$(BIN)/python -m tests.laws --histories $(HISTORIES) --seed $(SEED)

.PHONY: bench
bench: $(READY) ## measure speed against other programs, and write docs/benchmarks.md (BENCH="path --turns 1")
	@$(BIN)/python -m bench $(BENCH)

.PHONY: bench-quick
bench-quick: $(READY) ## check that a message costs no more CPU than is recorded: below a minute
	@$(BIN)/python -m bench --quick

.PHONY: check
check: $(READY) ## run what CI runs besides the tests: format, lint, types, import rules, docs
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache > .lint-imports.log || { cat .lint-imports.log; exit 1; }
	@$(BIN)/python docs/write_messages.py --check
	@echo "format, lint, types, import rules and docs are in order"

.PHONY: format
format: $(READY) ## format the code, and fix what ruff can fix by itself
	@$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format .

.PHONY: docs
docs: $(READY) ## write docs/messages.md from the message models
	@$(BIN)/python docs/write_messages.py

# --universal: one file for every platform and every Python that is supported. Each file is in line with dev.txt.
PIN = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes $(UPGRADE) \
	--custom-compile-command "make requirements"

.PHONY: requirements
requirements: $(READY) ## pin what pyproject.toml asks for, with hashes (UPGRADE=--upgrade: the latest versions)
	@$(PIN) --all-extras pyproject.toml -o requirements/dev.txt
	@$(PIN) -c requirements/dev.txt --extra traces pyproject.toml -o requirements/worker.txt
	@$(PIN) -c requirements/dev.txt --extra watch pyproject.toml -o requirements/watch.txt
	@$(PIN) -c requirements/dev.txt --extra desk pyproject.toml -o requirements/desk.txt
	@echo hatchling | $(PIN) -c requirements/dev.txt - -o requirements/build.txt

.PHONY: sbom
sbom: $(READY) ## write a bill of materials (CycloneDX) for each image into dist/
	@$(BIN)/python requirements/write_sbom.py dist

.PHONY: clean
clean: ## remove the environments, the caches and what was built
	@rm -rf .venv .venv-* dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .lint-imports.log
