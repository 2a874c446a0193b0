# make demo   install into .venv and run the first search (minutes, 2 cores)
# make test   install and run the tests, WORKERS files at once (2); make test-all adds the slow ones
# make docs   build the documentation into build/site; broken links are errors
# make test-lowest  the unit tests again, with the lowest versions that pyproject.toml allows, in .venv/lowest
# make test-cpu  the numeric tests again, with the instructions of other processors
# make check  format, lint, types, import rules
PYTHON ?= python3
WORKERS ?= 2
BIN := .venv/bin
BASE := .venv/base
INSTALLED := .venv/installed
LOWEST := .venv/lowest

CPUS ?= sse4_2:default:Prescott:SSE4_2 avx2:avx2:Haswell:AVX2 avx512f:avx512:SkylakeX:AVX512
CPU_TESTS ?= tests
# The tests start hundreds of processes: our modules are compiled once, also where the environment says otherwise.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test test-all test-lowest test-cpu check docs format clean

demo: $(BASE)
	$(BIN)/python -m search.run configs/early_inference/demo.yaml --name demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-all: $(INSTALLED)
	$(BIN)/python -m pytest --hypothesis-profile thorough -n $(WORKERS) --dist loadfile --no-loadscope-reorder

test-lowest: $(LOWEST)/installed
	$(LOWEST)/bin/python -m pytest -m "not slow and not integration" -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# What torch, numpy's OpenBLAS and torch's MKL compute with is held to one kind of processor at a time: a flag of
# /proc/cpuinfo without which it can't be tried here, then their three names for it.
test-cpu: $(INSTALLED)
	@set -e; for cpu in $(CPUS); do \
	    set -- $$(echo $$cpu | tr : ' '); \
	    if ! grep -qw $$1 /proc/cpuinfo; then echo "not tried: this processor has no $$1"; continue; fi; \
	    echo "numeric tests with torch $$2, OpenBLAS $$3, MKL $$4"; \
	    ATEN_CPU_CAPABILITY=$$2 OPENBLAS_CORETYPE=$$3 MKL_ENABLE_INSTRUCTIONS=$$4 \
	        $(BIN)/python -m pytest -m "numeric and not slow and not integration" -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(CPU_TESTS); \
	done

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

$(LOWEST)/installed: pyproject.toml constraints.txt .ci/lowest.py
	$(PYTHON) -m venv $(LOWEST)
	$(PYTHON) .ci/lowest.py > $(LOWEST)/lowest.txt
	$(LOWEST)/bin/pip install --quiet --constraint $(LOWEST)/lowest.txt --editable ".[cluster,dev,diphone,tts,whisper]"
	touch $@

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
