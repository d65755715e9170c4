# make scale    answers the main question: how does this scale to 100,000 chips?
# make measure  times the collectives of this machine's JAX devices
# make rig      builds a network of known truth, measures it and compares (Linux, root)
# make bench    times predictions, gradients, layouts, fits and first answers here
# make counts   holds every count of the registry against its execution
# make test     lint, types and tests; `make lint` and `make pytest` are its two halves
# make clean    removes the environments and caches made here, and leaves out/ alone
#
# Another Python, or arguments:
#   make scale PYTHON=python3.12 ARGS='--measurements run.log'

PYTHON ?= python3
ARGS ?=

# One environment for each Python, so that several stand side by side.
PYVERSION := $(shell $(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null)
VENV := .venv-$(PYVERSION)
BIN := $(VENV)/bin/python
INSTALL := $(BIN) -m pip install --quiet --editable

.PHONY: help scale measure rig bench counts test lint pytest clean new-enough
.NOTPARALLEL:

help:
	@sed -n '/^#/!q; s/^# \{0,1\}//p' Makefile

scale: $(VENV)/.installed-experiments
	$(BIN) -m experiments.scale_to_100k $(ARGS)

measure: $(VENV)/.installed-experiments
	$(BIN) -m experiments.measure $(ARGS)

rig: $(VENV)/.installed-experiments
	$(BIN) -m experiments.rig $(ARGS)

bench: $(VENV)/.installed-experiments
	$(BIN) -m experiments.bench $(ARGS)

counts: $(VENV)/.installed-dev
	$(BIN) tests/algorithms/check_counts.py $(ARGS)

test: lint pytest

lint: $(VENV)/.installed-dev
	$(BIN) -m ruff check .
	$(BIN) -m ruff format --check .
	PYRIGHT_PYTHON_IGNORE_WARNINGS=1 $(BIN) -m pyright --pythonpath $(BIN)

pytest: $(VENV)/.installed-dev
	$(BIN) -m pytest -n 2 $(ARGS)

clean:
	rm -rf .venv-* .pytest_cache .ruff_cache .hypothesis build dist *.egg-info
	find fabricmodel experiments tests -name __pycache__ -prune -exec rm -rf {} +

# The stamps: pip runs again only where pyproject.toml has changed.
$(VENV)/.installed-experiments: pyproject.toml | $(BIN)
	@echo "Installing fabricmodel into $(VENV); the first time takes a few minutes."
	$(INSTALL) '.[experiments]'
	@touch $@

$(VENV)/.installed-dev: pyproject.toml | $(BIN)
	@echo "Installing fabricmodel and its tools into $(VENV); the first time takes a few minutes."
	$(INSTALL) '.[dev]'
	@touch $@ $(VENV)/.installed-experiments

$(BIN): | new-enough
	$(PYTHON) -m venv --clear $(VENV)

new-enough:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "fabricmodel needs Python 3.11 or later, but '$(PYTHON)'" \
	    "$(if $(PYVERSION),is Python $(PYVERSION),does not run)." >&2; \
	  echo "Name another one: make $(MAKECMDGOALS) PYTHON=path/to/python" >&2; \
	  exit 1; }
