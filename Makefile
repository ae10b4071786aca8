# Everything a person or a CI machine does with this repository. `make` alone lists it.
# Recipes call tools as `python -m`, because scripts with a `#!` line break in long paths and
# in paths with spaces, and all paths are relative for the same reason.

PYTHON  ?= python3
UV      ?= uv
WORKERS ?= 2
SECONDS_EACH ?= 10

BIN     := .venv/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PY      := $(BIN)/python
VENV    := .venv/.made

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.SUFFIXES:

.PHONY: help venv demo test cov check format lint types imports wheel bench docs fuzz lock clean

help: ## list the targets
	@echo "Tapekeeper. Targets:"
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1|\2/p' Makefile \
		| while IFS='|' read -r name text; do printf '%-14s %s\n' "$$name" "$$text"; done
	@echo "Variables: PYTHON=$(PYTHON) WORKERS=$(WORKERS) (0 runs tests in one process) ARGS="

# The stamp is written last, so a venv that was interrupted half-way is made again.
$(VENV): requirements/dev.txt requirements/runtime.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Tapekeeper needs Python 3.11 or newer, and '$(PYTHON)' is not that." \
			"Name one with: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	@echo "Making .venv from the locked dependencies: about a minute, once."
	$(PYTHON) -m venv .venv
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(PY) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(VENV)

venv: $(VENV) ## make .venv with the pinned dependencies

demo: $(VENV) ## show live bars of a simulated gateway; ARGS="--seconds 10"
	@$(PY) -m tapekeeper demo $(ARGS)

test: $(VENV) ## run all tests; ARGS="-k bars"
	$(PY) -m pytest -n $(WORKERS) $(ARGS)

cov: $(VENV) ## run all tests and report branch coverage, room by room
	$(PY) -m pytest -n $(WORKERS) --cov --cov-branch --cov-report= $(ARGS)
	$(PY) tools/coverage_by_room.py

check: format lint types imports wheel ## formatting, lint, types, imports, and the built wheel

format: $(VENV)
	$(PY) -m ruff format --check .

lint: $(VENV)
	$(PY) -m ruff check .

types: $(VENV)
	$(PY) -m mypy

imports: $(VENV)
	$(PY) -c 'from importlinter.cli import lint_imports_command; lint_imports_command()' --no-cache --no-logo

wheel: $(VENV) ## build the wheel and try it in a clean venv
	$(PY) tools/wheel_smoke.py

bench: $(VENV) ## run every benchmark
	@for bench in benches/*.py; do echo "== $$bench"; $(PY) "$$bench" $(ARGS) || exit 1; done

docs: $(VENV) ## build the documentation into docs/_build
	$(PY) -m sphinx -W -n --keep-going -q -b html docs docs/_build
	@echo "docs/_build/index.html"

fuzz: $(VENV) ## throw random bytes at every decoder for SECONDS_EACH seconds
	@for fuzz in fuzz/*.py; do \
		echo "== $$fuzz"; $(PY) "$$fuzz" --seconds $(SECONDS_EACH) $(ARGS) || exit 1; done

# `--universal`: one lock for every platform; no address of an index is written into it.
LOCK = $(UV) pip compile --quiet --universal --generate-hashes --python-version 3.11 \
	--no-emit-index-url --no-header

lock: ## pin the dependencies anew, with hashes (needs uv); ARGS="--upgrade"
	$(LOCK) $(ARGS) requirements/dev.in -o requirements/dev.txt
	$(LOCK) requirements/runtime.in -c requirements/dev.txt -o requirements/runtime.txt

clean: ## remove everything that was made, .venv included
	rm -rf .venv build dist docs/_build .coverage .coverage.* .hypothesis .mypy_cache .pytest_cache \
		.ruff_cache .import_linter_cache
	find src tests benches fuzz tools docs -name __pycache__ -type d -prune -exec rm -rf {} +
