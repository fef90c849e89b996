# Each target sets up what it needs in .venv: with uv where it is installed, with pip where it is not.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: demo test check bench docs wheel clean
.DEFAULT_GOAL := demo

demo: $(READY)  ## train, evaluate and report on the built-in data
	$(BIN)/anychan demo --out runs/demo

test: check  ## all that CI runs
	$(BIN)/python -m pytest --numprocesses 2 --quiet

check: $(READY)  ## format, lint, types and the direction of imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(READY)  ## speed ratios, one script a question
	for script in benchmarks/[!_]*.py; do $(BIN)/python $$script || exit 1; done

docs: $(READY)  ## the documents' tables from the records in docs/records, and the site in build/site
	$(BIN)/python docs/make_costs.py
	$(BIN)/python docs/make_results.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict >/dev/null
	@echo build/site/index.html

wheel: $(READY)  ## dist/*.whl, which installs without this folder
	@if command -v uv >/dev/null; then uv build --quiet --wheel --out-dir dist; \
	else $(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .; fi
	@ls dist/*.whl

clean:  ## what the other targets made, but for runs
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "anychan needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Try: make PYTHON=python3.12"; exit 2; }
	@rm -f $@
	@if command -v uv >/dev/null; then \
		uv venv --quiet --seed --allow-existing --python "$$(command -v $(PYTHON))" $(VENV) && \
		uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'; \
	else \
		$(PYTHON) -m venv $(VENV) && \
		$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'; \
	fi
	@touch $@
