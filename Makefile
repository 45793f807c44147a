# make demo   the whole story on built-in data
# make test   every check that a change must pass
# make coverage   the tests again, counting the lines of each package that they run, which takes far longer
# make test-machines   tests on machines unlike this one, simulated: CPUs with bf16 and without, one core, macOS, Windows

PYTHON ?= python3
BIN := .venv/bin
TESTS := OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --dist worksteal
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test coverage test-machines format clean

demo: .venv/installed
	$(BIN)/fullyconv demo --out runs/demo

test: .venv/installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(TESTS)

coverage: .venv/installed-dev
	$(TESTS) --cov --cov-report json:.coverage.json
	$(BIN)/python -m tests.coverage_gate .coverage.json

MACHINES := bf16 no-bf16 one-core macos windows
ON_MACHINES := tests/training tests/demo tests/data tests/evaluation tests/inference tests/test_cli.py

test-machines: .venv/installed-dev
	for machine in $(MACHINES); do echo "$$machine:"; \
		OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2 --machine $$machine $(ON_MACHINES) || exit 1; done
	ONEDNN_MAX_CPU_ISA=AVX2 OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses 2

format: .venv/installed-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

.venv/installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) --editable .
	touch $@

.venv/installed-dev: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) --editable '.[dev]'
	touch $@ .venv/installed

clean:
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
