# Veriscan: `make run` serves it, `make test` tests it, `make help` lists the rest.
#
# Everything is installed into .venv, from pinned requirements. Stamps there are named after the
# content of those files, so a second run starts at once, and a changed file installs again.

VENV := .venv
BIN := $(VENV)/bin

# Without training/ the application still runs and is tested, so that folder may be absent.
TRAINING_REQUIREMENTS := $(wildcard training/requirements.txt)
ALL_REQUIREMENTS := requirements.txt $(TRAINING_REQUIREMENTS) tests/requirements.txt
SOURCES := $(wildcard app training tests wsgi.py)

digest_of = $(shell cat $(1) | cksum | cut -d " " -f 1)
SERVER_STAMP := $(VENV)/.server-$(call digest_of,requirements.txt)
ALL_STAMP := $(VENV)/.all-$(call digest_of,$(ALL_REQUIREMENTS))

# The first Python that is new enough; `make PYTHON=/path/to/python3.12 …` chooses another.
IS_NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.11 python3.12 python3.13 python3.14 python3 python; do \
	$$python -c '$(IS_NEW_ENOUGH)' 2>/dev/null && echo $$python && break; done)

# Two `make` at once would install into the same folder; where flock exists, they take turns.
TAKING_TURNS := $(if $(shell command -v flock),flock --close .)

PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-input

.DEFAULT_GOAL := help
.PHONY: help setup server-setup run test lint audit format bench browser postgresql clean

help: ## list what can be made
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 22

setup: ## install everything: server, training, tests
	@$(TAKING_TURNS) $(MAKE) --no-print-directory --silent $(ALL_STAMP)

server-setup: ## install what the server needs, no more
	@$(TAKING_TURNS) $(MAKE) --no-print-directory --silent $(SERVER_STAMP)

run: server-setup ## serve on http://127.0.0.1:8000 (PORT and VERISCAN_… change that, see README)
	@exec $(BIN)/python -m gunicorn --config app/gunicorn_conf.py wsgi:application

test: lint audit browser postgresql ## check style, types and pins, and run every test
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

lint: setup ## check style, types and for insecure code
	@$(BIN)/python -m ruff check $(SOURCES)
	@$(BIN)/python -m ruff format --check $(SOURCES)
	@$(BIN)/python -m mypy $(SOURCES)
	@$(BIN)/python -m bandit --quiet --recursive --severity-level medium --configfile pyproject.toml \
		app training wsgi.py

audit: setup ## ask for known holes in what is pinned; out of reach of the network it says so
	@$(BIN)/python -m tests.dependency_audit $(ALL_REQUIREMENTS)

format: setup ## put the code into the project's style
	@$(BIN)/python -m ruff check --fix-only $(SOURCES)
	@$(BIN)/python -m ruff format $(SOURCES)

bench: setup ## measure speed and memory against baselines; ARGS="engine --rounds 7" says what
	@$(PIP_INSTALL) --quiet --requirement tests/benchmarks/requirements.txt
	@$(BIN)/python -m tests.benchmarks $(ARGS)

browser: setup ## find or install the browser that the tests drive
	@$(BIN)/python -m tests.journeys.chromium

postgresql: setup ## find or install the PostgreSQL that the tests start
	@$(BIN)/python -m tests.postgresql

clean: ## remove what was installed and cached; data in instance/ stays
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@test -n "$(PYTHON)" && "$(PYTHON)" -c '$(IS_NEW_ENOUGH)' 2>/dev/null || { \
		echo "Veriscan needs Python 3.11 or newer$(if $(PYTHON),; $(PYTHON) is not). Install it," \
		"or say where it is: make setup PYTHON=/path/to/python3.11" >&2; exit 1; }
	@echo "Making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -m venv --clear $(VENV) || { rm -rf $(VENV); \
		echo "$(PYTHON) cannot make a virtual environment." \
		"On Debian and Ubuntu, as root: apt-get install python3-venv" >&2; exit 1; }

$(SERVER_STAMP): | $(BIN)/python
	@echo "Installing what the server needs. The first time this takes minutes and some 5 GB."
	@$(PIP_INSTALL) --requirement requirements.txt
	@rm -f $(VENV)/.server-* $(VENV)/.all-* && touch $@

$(ALL_STAMP): | $(BIN)/python
	@echo "Installing what server, training and tests need. The first time this takes minutes" \
		"and some 5 GB."
	@$(PIP_INSTALL) $(addprefix --requirement ,$(ALL_REQUIREMENTS))
	@rm -f $(VENV)/.server-* $(VENV)/.all-* && touch $(SERVER_STAMP) $@
