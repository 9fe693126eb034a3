# `make help` lists what there is. Everything runs in .venv, which `make` builds itself.
PYTHON ?= python3
PORT ?= 5000
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help run lint types test conformance bench docs constraints clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' Makefile

# --clear: a set-up that was broken off leaves nothing behind for the next one.
$(STAMP): pyproject.toml requirements/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Torsyq needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | tail -1)."; \
		echo "If a newer one is installed, name it: make PYTHON=python3.13 $(MAKECMDGOALS)"; \
		exit 1; } >&2
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements/constraints.txt -e '.[dev,docs]'
	@touch $@

run: $(STAMP) ## serve the example app at http://127.0.0.1:5000 (PORT=... for another)
	@echo "The journal Steppe opens at http://127.0.0.1:$(PORT)/ in a moment. Stop it with Ctrl+C."
	@echo "What it stores is in examples/instance/: delete that folder to start afresh."
	@cd examples && ../$(BIN)/torsyq --app steppe run --port $(PORT)

lint: $(STAMP) ## ruff: style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

test: $(STAMP) ## the tests, with branch coverage
	$(BIN)/python -m pytest -n auto -rs --cov --cov-report=term $(PYTEST_FLAGS)

conformance: $(STAMP) ## published suites on Flask and on Torsyq (QUICK=1: ten minutes of them)
	$(BIN)/python -m conformance $(if $(QUICK),--quick --jobs 2)

bench: $(STAMP) ## time Torsyq beside Flask and what peers are installed (a few minutes)
	$(BIN)/python -m benchmarks inprocess --rounds 5
	$(BIN)/python -m benchmarks hops
	$(BIN)/python -m benchmarks import --rounds 3
	@echo "Stored in benchmarks/results. The peers: $(BIN)/python -m benchmarks install"

docs: $(STAMP) ## the documentation, into docs/_build/html
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html
	@echo "Read it at file://$(CURDIR)/docs/_build/html/index.html"

constraints: ## pin anew what the development environment installs
	rm -rf $(VENV)/.constraints && $(PYTHON) -m venv $(VENV)/.constraints
	$(VENV)/.constraints/bin/python -m pip install -q --upgrade pip packaging
	$(VENV)/.constraints/bin/python scripts/pin.py > $(VENV)/.constraints/pins
	cp $(VENV)/.constraints/pins requirements/constraints.txt

clean: ## remove the environment and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .conformance htmlcov dist docs/_build
