# Everything a newcomer or a machine needs: `make demo`, `make test`, `make bench`.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# Tests start hundreds of processes; without bytecode each of them would compile all of `edge` anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test compiled pauses packages check format bench clean

demo: $(VENV)/.runtime
	@$(BIN)/edge deploy rules/demo/site --app demo --branch main
	@$(BIN)/edge serve

# What operators mean (`edge.site`) is covered whole, branch by branch, by its own tests; then the
# rest, its longest files first. Of the scenarios (whole nodes, seen from outside) the source in
# place has to pass these; the compiled node, which `pip install` makes, has to pass all.
SAME := abuse access_log amplification caching cgi_origins given_up hanging http2 letting_go overload proxy purge reload survival tls tracing upgrade websockets
REST := $(filter-out tests/site/ tests/scenarios/ tests/__pycache__/,$(wildcard tests/*/)) $(wildcard tests/test_*.py)
test: packages $(VENV)/.dev check
	$(BIN)/pytest tests/site -n 2 --dist worksteal --cov=edge.site --cov-branch --cov-report=term-missing:skip-covered --cov-fail-under=100
	$(BIN)/pytest $(foreach name,$(SAME),$(wildcard tests/scenarios/test_$(name)*.py)) $(REST) -n 3 --dist loadfile --no-loadscope-reorder
	$(MAKE) compiled

# The hot modules as machine code, as `pip install` makes them, but beside the source and never in
# its place. Units are left out, since they put other things in the place of what is compiled.
COMPILED := build/compiled
compiled: $(VENV)/.dev
	rm -rf $(COMPILED) && mkdir -p $(COMPILED)
	cp -r setup.py pyproject.toml README.md LICENSE Makefile edge tests rules packaging bench $(COMPILED)
	cd $(COMPILED) && EDGE_COMPILED=1 $(CURDIR)/$(BIN)/python -W ignore setup.py --quiet build_ext --inplace
	cd $(COMPILED) && PYTHONPATH=$(CURDIR)/$(COMPILED) $(CURDIR)/$(BIN)/pytest tests/scenarios tests/conformance -n 3 --dist loadfile --no-loadscope-reorder

# Slow; for who wrote tests that start processes.
pauses: packages $(VENV)/.dev
	$(BIN)/python -m tests.support_pauses tests/scenarios tests --ignore=tests/site -n 3 --dist loadfile --no-loadscope-reorder

packages:
	@.ci/packages || echo "make: not every package of .ci/packages.txt is there; tests that need them fail or are skipped"

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.runtime
	$(BIN)/python bench/compare.py

clean:
	rm -rf $(VENV) build *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV) || (echo "make: venv is missing: apt-get install python3-venv" && false)

# In place nothing is compiled (setup.py), and so nothing is fetched for that.
$(VENV)/.runtime $(VENV)/.dev: export EDGE_COMPILED = 0

$(VENV)/.runtime: pyproject.toml $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml $(VENV)/bin/python
	$(BIN)/pip install --quiet --editable '.[dev]'
	@touch $@ $(VENV)/.runtime
