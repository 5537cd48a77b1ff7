# Needs make, Python 3.11 or newer and a package index. All of it happens in .venv; nothing else is installed.

PYTHON ?= python3
JOBS ?= 2
OUT ?= out
ARGS ?=

BIN := .venv/bin
READY := .venv/.ready
READY_BENCH := .venv/.ready-bench

.DEFAULT_GOAL := help
.PHONY: help demo lab notebooks docs test check format bench widgets coverage validation soak crowd clean

help: ## list the targets
	@echo "make TARGET [PYTHON=python3] [OUT=out] [JOBS=2] [ARGS=more arguments]"
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' Makefile

demo: $(READY) ## run the main job: simulate the preset scenarios, results and figures in OUT
	$(BIN)/realtime-sim demo --out "$(OUT)"

lab: $(READY) ## open the notebooks in JupyterLab, in a browser
	$(BIN)/jupyter lab notebooks/01_where_do_40_ms_go.ipynb

notebooks: $(READY) ## run all notebooks anew, and save what they show
	$(BIN)/jupyter execute --inplace --NotebookClient.record_timing=False notebooks/*.ipynb

docs: $(READY) ## build the documentation into OUT/docs; a warning is a failure
	$(BIN)/python -m sphinx -q -W --keep-going -d "$(OUT)/doctrees" docs "$(OUT)/docs"

test: $(READY) ## run all tests, JOBS at a time
	$(BIN)/python -m pytest -q -rs -n $(JOBS) --dist loadfile $(ARGS)

check: $(READY) ## check format, lint, floors, exports and docstrings; changes nothing
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/python -m pytest -q tests/test_floors.py tests/test_exports.py tests/test_docstrings.py

format: $(READY) ## format the code and mend what ruff can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(READY_BENCH) ## measure against peers, in some five minutes: ARGS="--large --first --rounds 5"
	$(BIN)/python -m benchmarks $(ARGS)

widgets: $(READY) ## how long a slider takes to show in its figure, 240 moves of the default explorer
	$(BIN)/python -m benchmarks.widgets $(ARGS)

coverage: $(READY) ## how often intervals hold the truth, 1,000 runs a row, in some five minutes
	$(BIN)/python -m benchmarks.coverage $(ARGS)

validation: $(READY) ## hold six scenarios against live runs at three loads, in some twenty-five minutes
	$(BIN)/python -m benchmarks.validation $(ARGS)

soak: $(READY) ## ten minutes of a live cluster at 40 % load: memory and losses
	$(BIN)/python -m benchmarks.soak $(ARGS)

crowd: $(READY) ## hold ten thousand live connections, kill one of four servers, and count what is lost
	$(BIN)/python -m benchmarks.crowd $(ARGS)

clean: ## remove whatever make made: .venv, OUT, caches
	rm -rf .venv "$(OUT)" build dist .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment with a working pip is kept; a missing or half-made one is made anew.
$(READY): pyproject.toml
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { \
	  command -v "$(PYTHON)" >/dev/null || { \
	    echo "There is no '$(PYTHON)' here. Install Python 3.11 or newer, or name one: make test PYTHON=python3.12" >&2; exit 1; }; \
	  "$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	    echo "Python 3.11 or newer is needed, and '$(PYTHON)' is $$("$(PYTHON)" -V 2>&1). Name another one: make test PYTHON=python3.12" >&2; exit 1; }; \
	  "$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
	    echo "'$(PYTHON)' cannot make virtual environments. On Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	  echo "Making .venv with $$("$(PYTHON)" -V)"; \
	  "$(PYTHON)" -m venv --clear .venv; }
	@echo "Installing the package and its tools into .venv; the first time takes a few minutes"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

$(READY_BENCH): $(READY)
	@echo "Installing the peers of the benchmarks into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]'
	@touch $@
