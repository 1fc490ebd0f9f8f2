# The two commands are `make demo` and `make test`; both make the environment first, when it is missing or stale.
#   make demo                the whole loop on the embedded world; ends with the service up
#   make demo ONCE=1         the same, then stops everything and exits with a status
#   make demo DATA=path      the same on a MovieLens folder
#   make test [ARGS=...]     all tests
#   make check               lint, format, types, import arrows
#   make compile             the pipeline as Kubeflow IR, train.yaml

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Several processes share the cores: an OpenMP thread that waits must sleep, not spin.
export OMP_WAIT_POLICY := passive
SOURCES := src components pipelines serving monitoring feature_repo tests

.PHONY: demo test check format compile env clean

demo: env
	$(BIN)/raconteur demo $(if $(ONCE),--once) $(if $(DATA),--data "$(DATA)")

# Two at a time, with a thread each; a file in one piece, in the order of the folders: the longest files come first.
test: export OMP_NUM_THREADS := 1
test: env
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

check: env
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports

format: env
	$(BIN)/ruff check --fix $(SOURCES)
	$(BIN)/ruff format $(SOURCES)

compile: env
	$(BIN)/raconteur pipeline compile --out train.yaml

env: $(STAMP)

# With uv: seconds; with pip alone: about two minutes.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' \
	  || { echo "error: $$($(PYTHON) --version) found, Python 3.11 or 3.12 is needed: make PYTHON=python3.11 ..." >&2; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	if command -v uv >/dev/null 2>&1; \
	then uv pip install --python $(BIN)/python --constraints constraints.txt --editable ".[dev]"; \
	else $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"; fi
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
