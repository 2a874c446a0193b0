# make demo   install into .venv and run the first search (minutes, 2 cores)
# make test   install and run the tests, WORKERS files at once (2); make test-all adds the slow ones
# make docs   build the documentation into build/site; broken links are errors
# make check  format, lint, types, import rules
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
BASE := .venv/base
INSTALLED := .venv/installed

.PHONY: demo test test-all check docs format clean

demo: $(BASE)
	$(BIN)/python -m search.run configs/early_inference/demo.yaml --name demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile

test-all: $(INSTALLED)
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

check: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(INSTALLED)
	$(BIN)/pip install --quiet --constraint constraints.txt mkdocs-material
	$(BIN)/python -m search.cli.reference docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --config-file .ci/mkdocs.yml

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# What a user needs; the developers' tools, some 0.7 GB more, come with the tests.
$(BASE): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(f"Python >= 3.11 is needed, this is {sys.version.split()[0]}; set PYTHON=") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[cluster]"
	touch $@

$(INSTALLED): $(BASE)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[cluster,dev,diphone,tts,whisper]"
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
