# `make help` lists what there is. Everything runs in .venv, which `make` builds itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help lint types test constraints clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  %-12s %s\n", $$1, $$2}' Makefile

$(STAMP): pyproject.toml requirements/constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements/constraints.txt -e '.[dev,docs]'
	@touch $@

lint: $(STAMP) ## ruff: style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

test: $(STAMP) ## the tests, with branch coverage
	$(BIN)/python -m pytest --cov --cov-report=term

constraints: ## pin anew what the development environment installs
	rm -rf $(VENV)/.constraints && $(PYTHON) -m venv $(VENV)/.constraints
	$(VENV)/.constraints/bin/python -m pip install -q -e '.[dev,docs]'
	$(VENV)/.constraints/bin/python -m pip freeze --exclude-editable | grep -v '^torsyq' > requirements/constraints.txt

clean: ## remove the environment and all caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis htmlcov dist docs/_build
