# `make demo` and `make test` need Python 3.11+ and git; they install everything else:
# Python packages into .venv, and missing system tools by apt where that is allowed.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test lint schemas vectors fuzz fuzz-coverage bench clean

demo: $(VENV)/.ready
	sh examples/digits/demo.sh

test: $(VENV)/.ready-dev
	$(BIN)/python -m pytest --numprocesses 2 --dist worksteal

lint: $(VENV)/.ready-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

schemas: $(VENV)/.ready
	$(BIN)/python -m repropack.schema schemas

vectors: $(VENV)/.ready-dev
	$(BIN)/python -m tests.vectors.generate

fuzz: $(VENV)/.ready-dev
	$(BIN)/python -m tests.fuzz --seconds 60

# Guided by coverage; atheris has no wheel for every Python, so it is no part of the others.
fuzz-coverage: $(VENV)/.ready-dev
	$(BIN)/python -m pip install --quiet 'atheris>=3'
	$(BIN)/python -m tests.fuzz.coverage_guided 60

bench: $(VENV)/.ready-bench
	$(BIN)/python -m benchmarks

$(VENV)/.ready: pyproject.toml scripts/setup.sh
	sh scripts/setup.sh '$(PYTHON)' '$(VENV)'
	touch $@

$(VENV)/.ready-dev: $(VENV)/.ready
	sh scripts/setup.sh '$(PYTHON)' '$(VENV)' dev
	touch $@

$(VENV)/.ready-bench: $(VENV)/.ready
	sh scripts/setup.sh '$(PYTHON)' '$(VENV)' bench
	touch $@

clean:
	rm -rf $(VENV) demo build *.egg-info
