# Every target works on a fresh checkout: the environment is made when it is missing or older than pyproject.toml.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
SHELL := /bin/bash
# Tests run in as many processes as there are cores, four at most; see tests/conftest.py for what stays together.
TOGETHER := --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help demo test coverage check bench targets venv lint fix clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-9s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  PYTHON=python3.12 chooses the interpreter, VENV=path the environment, ARGS='...' adds arguments to demo and test."

demo: $(VENV)/.installed  ## install, then watch an agent come to know its house (four to ten minutes)
	$(BIN)/selfparam demo $(ARGS)

test: $(VENV)/.installed-dev  ## all tests
	$(BIN)/python -m pytest $(TOGETHER) --durations=25 --durations-min=5 $(ARGS)

coverage: $(VENV)/.installed-dev  ## all tests, and which lines they reach
	$(BIN)/python -m pytest $(TOGETHER) --cov --cov-report=term $(ARGS)

check: lint  ## lint, types, import contracts and unit tests (two minutes)
	$(BIN)/python -m pytest $(TOGETHER) tests/unit -q

bench: $(VENV)/.installed-dev  ## run the benchmarks in full and write benchmarks/results (long)
	$(BIN)/python -m benchmarks.seed_model evaluate --json benchmarks/results/seed_model.json
	$(BIN)/python -m benchmarks.demo --json benchmarks/results/demo.json
	$(BIN)/python -m benchmarks.bad_updates --json benchmarks/results/bad_updates.json
	$(BIN)/python -m benchmarks.update_speed --work .bench/update_speed --json benchmarks/results/update_speed.json
	$(BIN)/python -m benchmarks.injection --protocol single --jobs 2 --json benchmarks/results/injection_single.json
	$(BIN)/python -m benchmarks.injection --protocol batch --jobs 2 --json benchmarks/results/injection_batch.json
	$(BIN)/python -m benchmarks.injection --protocol sequential --jobs 2 --json benchmarks/results/injection_sequential.json
	$(BIN)/python -m benchmarks.injection --protocol sequential --updates 100 --per-update 10 --methods ours,none,in_context,fresh_lora --seeds 3 \
		--work .bench/injection_long --jobs 2 --json benchmarks/results/injection_long.json
	$(BIN)/python -m benchmarks.fetch --work .bench/fetch --jobs 2 --json benchmarks/results/fetch.json
	$(BIN)/python -m benchmarks.swap --json benchmarks/results/swap.json
	$(BIN)/python -m benchmarks.serving --json benchmarks/results/serving.json
	$(BIN)/python -m benchmarks.freshness --json benchmarks/results/freshness.json
	$(BIN)/python -m benchmarks.log_faults --json benchmarks/results/log_faults.json
	$(BIN)/python -m benchmarks.log_throughput --json benchmarks/results/log_throughput.json
	$(BIN)/python -m benchmarks.log_wakeup --json benchmarks/results/log_wakeup.json
	$(BIN)/selfparam study run benchmarks/results/study-default/study.toml --out .bench/study-default --jobs 2
	$(BIN)/python -m benchmarks.targets

targets: $(VENV)/.installed-dev  ## print every committed result against its target
	@$(BIN)/python -m benchmarks.targets

lint: $(VENV)/.installed-dev  ## ruff, mypy and the import contracts
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(VENV)/.installed-dev  ## let ruff fix what it can
	$(BIN)/ruff check --fix .

venv: $(VENV)/.installed-dev  ## the environment with everything for development

clean:  ## remove the environment and all caches (not .selfparam: that is someone's memory)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov build *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed, this is " + sys.version.split()[0] + ". Say which one: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

# Stamps: made only after pip has ended well, so that an interrupted install is taken up again.
$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	@echo 'installing into $(VENV): minutes the first time, seconds later'
	$(PIP) install --quiet -e .
	touch $@

$(VENV)/.installed-dev: pyproject.toml | $(VENV)/bin/python
	@echo 'installing into $(VENV): minutes the first time, seconds later'
	$(PIP) install --quiet -e '.[dev]'
	touch $@ $(VENV)/.installed
