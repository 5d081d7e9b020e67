# make demo   set up .venv, then convert, verify and run; the result is in demo-output/
# make test   the same set-up, then every check and every test
# make test-slow adds the slow tests; it is what .ci/run calls after make test

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO_ARGS ?=

.PHONY: demo test test-slow lint clean

demo: $(STAMP)
	$(BIN)/oakpoint demo --out demo-output $(DEMO_ARGS)

# One thread for each worker: two workers whose matrix products want two cores each wait for each other.
TEST_ENV := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

test: lint
	$(TEST_ENV) $(BIN)/pytest -n 2 -m "not slow"

test-slow: $(STAMP)
	$(TEST_ENV) $(BIN)/pytest -n 2 -m slow

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV) || { echo "python3 has no venv module: run  apt install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $(STAMP)

clean:
	rm -rf $(VENV) demo-output build dist
