# Each target makes what it needs; `make` alone lists them.

PYTHON  ?=
PYTHONS ?=
JOBS    ?= 4
MINUTES ?= 5
ARGS    ?=

VENV := .venv
BIN  := $(VENV)/bin
PIP  := -m pip --disable-pip-version-check --no-input --quiet

.DEFAULT_GOAL := help
.PHONY: help demo docs test test-all bench soak reliability mutate check lint format types typing layers fix clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@echo
	@echo "  PYTHON=…   the interpreter of .venv (default: 3.11, else any later one)"
	@echo "  PYTHONS=…  versions for test-all, such as PYTHONS=\"3.11 3.13\" (default: all that are present)"
	@echo "  JOBS=…     processes for tests and checks (default: 4, since many tests only wait)"
	@echo "  MINUTES=…  how long the soak plays seeds, and kills workers (default: 5 each; never fewer than 200 kills)"
	@echo "  ARGS=…     more arguments for the demo, pytest or the benchmarks"

# ---------------------------------------------------------------- what to run

demo: $(VENV)/.ready ## run the demo
	@$(BIN)/python -m amends.demo $(ARGS)

test: $(VENV)/.ready-dev ## check, then run the tests
	@$(MAKE) --no-print-directory check
	@$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

test-all: ## run the tests under each Python of PYTHONS
	@scripts/test-all $(PYTHONS)

bench: $(VENV)/.ready-dev ## run the benchmarks
	@$(BIN)/python -m bench $(ARGS)

soak: $(VENV)/.ready-dev ## run the long tests
	@SOAK_MINUTES=$(MINUTES) $(BIN)/python -m pytest -m soak --timeout=0 --hypothesis-profile=soak -rP $(ARGS)

docs: $(VENV)/.ready-dev ## build the documentation site; a dead link or an undocumented name fails
	@$(BIN)/python -m tests.docs.site

reliability: $(VENV)/.ready-dev ## measure what docs/reliability.md tells, and write it
	@$(BIN)/python -m scripts.reliability --minutes $(MINUTES) $(ARGS)

mutate: $(VENV)/.ready-mutate ## change the kernel and the committer, see what no test notices
	@nice -n 19 $(BIN)/python -m scripts.mutate --children $(JOBS) $(ARGS)
	@$(BIN)/python -m scripts.mutation

# ---------------------------------------------------------------- checks

# Each check's output in one piece, where make can do that (since 4.0).
SYNC := $(if $(filter output-sync,$(.FEATURES)),--output-sync=target)

check: $(VENV)/.ready-dev ## lint, format, types and layers; all are run before it fails
	@$(MAKE) --no-print-directory --keep-going --jobs=$(JOBS) $(SYNC) types typing layers lint format

lint: $(VENV)/.ready-dev
	@$(BIN)/ruff check

format: $(VENV)/.ready-dev
	@$(BIN)/ruff format --check

types: $(VENV)/.ready-dev
	@$(BIN)/mypy

typing: $(VENV)/.ready-dev
	@$(BIN)/pyright --pythonpath $(BIN)/python

layers: $(VENV)/.ready-dev
	@$(BIN)/lint-imports --no-logo

fix: $(VENV)/.ready-dev ## format, and mend what ruff can mend by itself
	@$(BIN)/ruff check --fix --exit-zero
	@$(BIN)/ruff format

# ---------------------------------------------------------------- environments

# An environment whose interpreter is gone is made again.
$(shell for venv in .venv .venv-[0-9]*; do [ -x "$$venv/bin/python" ] || rm -rf "$$venv"; done)

# Another PYTHON than last time: likewise.
ifneq ($(PYTHON),)
WANTED := $(shell scripts/find-python $(PYTHON))
ifeq ($(WANTED),)
$(error PYTHON=$(PYTHON) cannot be used)
endif
ifneq ($(WANTED),$(shell cat $(VENV)/.python 2>/dev/null))
$(shell rm -rf $(VENV))
endif
endif

$(BIN)/python:
	@python=$$(scripts/find-python $(PYTHON)) && echo "making $(VENV) with $$python" \
		&& "$$python" -m venv --clear $(VENV) && echo "$$python" >$(VENV)/.python

# The demo needs none of the tools, so that it starts soon after cloning.
$(VENV)/.ready: pyproject.toml $(BIN)/python
	@echo "installing amends into $(VENV)"
	@$(BIN)/python $(PIP) install --editable '.[demo]'
	@touch $@

$(VENV)/.ready-dev: pyproject.toml $(BIN)/python
	@echo "installing amends and the tools into $(VENV)"
	@$(BIN)/python $(PIP) install --editable '.[dev]'
	@touch $@ $(VENV)/.ready

$(VENV)/.ready-mutate: $(VENV)/.ready-dev
	@$(BIN)/python $(PIP) install --editable '.[dev,mutate]'
	@touch $@

.venv-%/bin/python:
	@python=$$(scripts/find-python $*) && echo "making .venv-$* with $$python" && "$$python" -m venv --clear .venv-$*

.venv-%/.ready: pyproject.toml .venv-%/bin/python
	@echo "installing amends and pytest into .venv-$*"
	@.venv-$*/bin/python $(PIP) install --editable '.[test]'
	@touch $@

test-python-%: .venv-%/.ready
	@.venv-$*/bin/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

.PRECIOUS: .venv-%/bin/python .venv-%/.ready

clean: ## remove environments, caches and what was built
	rm -rf .venv .venv-* build dist mutants .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests bench examples scripts -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
