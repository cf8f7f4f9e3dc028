PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Else each process would compile every module anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test tests lint release-check clean

demo: $(VENV)/.installed
	$(BIN)/python -m examples.demo

test: $(VENV)/.installed-dev
	@# At once, since the tests wait much of their time.
	$(MAKE) --jobs 2 lint tests

tests: $(VENV)/.compiled
	@# Three files of tests at a time, for the same reason; in their order, the long ones first.
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile --no-loadscope-reorder

$(VENV)/.compiled: $(VENV)/.installed-dev
	@# The tests import six thousand modules, which each of their processes would compile.
	$(BIN)/python -m pytest --collect-only --quiet --quiet > $@.log || { cat $@.log; false; }
	@touch $@

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy fer_model results workers web cli migrations examples tools benchmarks tests
	$(BIN)/lint-imports

release-check: $(VENV)/.installed-dev
	$(BIN)/python -m tools.release_check

$(VENV)/bin/pip:
	@# Debian's python3 has no ensurepip without the package python3-venv; pip then comes from the package index.
	@# Python 3.11's own pip takes three times as long to choose among the wheels.
	@if $(PYTHON) -c "import ensurepip" 2>/dev/null; then \
		$(PYTHON) -m venv $(VENV) && { $(BIN)/pip install --quiet --disable-pip-version-check --upgrade pip || true; }; \
	else $(PYTHON) -m venv --without-pip $(VENV) && $(BIN)/python tools/bootstrap_pip.py; fi

# Modules are compiled when they are first imported: most never are.
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable

$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(INSTALL) .
	@touch $@

$(VENV)/.installed-dev: pyproject.toml constraints.txt | $(VENV)/bin/pip
	$(INSTALL) ".[dev]"
	@touch $(VENV)/.installed $@

clean:
	rm -rf $(VENV) demo build dist *.egg-info
