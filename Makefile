# Hippo's commands. `make demo` and `make test` set everything up by themselves; a second run starts at once.

VENV ?= .venv
PYTHON ?= $(shell for python in python3.11 python3.12 python3; do \
  $$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' 2>/dev/null && echo $$python && break; done)
BIN := $(VENV)/bin

.PHONY: help setup demo test test-fast lint up

help:
	@echo "make demo       the whole loop in this terminal: tell, ask, retrain, ask again, then chat"
	@echo "make test       all tests (about 24 minutes on 2 cores)"
	@echo "make test-fast  the tests that take under five seconds each"
	@echo "make up         model server, trainer and bot, as set in .env"
	@echo "make lint       style, types, import directions"
	@echo "make setup      only what the others do first: .venv, packages, base model"

setup:
	@test -n "$(PYTHON)" || { echo "Hippo needs Python 3.11 or 3.12. Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) scripts/setup.py $(VENV)

demo: setup
	@$(BIN)/python -m trainer demo

test: setup
	@$(BIN)/python -m pytest

test-fast: setup
	@$(BIN)/python -m pytest -m "not slow"

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

up: setup
	@PATH="$(abspath $(BIN)):$$PATH" $(BIN)/honcho start
