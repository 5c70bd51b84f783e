# `make run` and `make test` are the two commands; both set up all they need from Python 3.11 alone.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps
# Most tests wait for processes and sockets, so three at a time keep two cores busy.
TEST_PROCESSES ?= 3
READY := $(VENV)/.ready
# Without compiled files, each of the many processes that a test run starts would compile the program anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: run test test-ci test-all check lint bench soak fuzz screenshots docs lock clean

run: $(READY)  ## the demo, or `tollgate serve` when TOLLGATE_GATEWAY_URL is set
	@exec $(BIN)/tollgate $(if $(TOLLGATE_GATEWAY_URL),serve,demo)

PYTEST := $(BIN)/pytest --numprocesses $(TEST_PROCESSES) --dist loadfile --no-loadscope-reorder

test: lint  ## format check, linter, strict types, and the tests that are quick: nearly all
	$(PYTEST) -m "not ci and not slow and not soak and not fuzz"

test-ci: $(READY)  ## those of a second or more each, which continuous integration runs after `make test`
	$(PYTEST) -m "ci and not slow and not soak and not fuzz"

test-all: lint  ## both, with the tests that take seconds each: before a release, and after a change of their kind
	$(PYTEST) -m "not soak and not fuzz"

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

check: $(READY)  ## validate the configuration named by TOLLGATE_CONFIG
	@$(BIN)/tollgate check

soak: $(READY)  ## the long crash and load campaigns
	$(BIN)/pytest -m soak --timeout=3600

fuzz: $(READY)  ## the long property campaigns, and every property test on examples not tried before
	$(BIN)/pytest -m "fuzz or (hypothesis and not soak)" --hypothesis-profile=explore --timeout=3600

bench: $(READY)  ## the figures of tests/benchmarks/README.md, as ratios measured side by side
	$(BIN)/python -m tests.benchmarks

screenshots: $(READY)  ## pictures of every page of the portal: light, dark, on a phone, on a desk
	$(BIN)/python -m tests.portal.chromium.screenshots screenshots

docs: $(READY)  ## renew the parts of the READMEs that are made from the code
	$(BIN)/python -m proxy.cli.reference

lock: $(READY)  ## renew both lock files (hashes, no index address)
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --output-file requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --extra test --output-file tests/requirements.lock pyproject.toml

# Both commands share one environment: the test tools add seconds to the first run and spare a second venv. The lock file
# names every package, so that pip need not look for others, and what is never imported need not be compiled. The pip that
# comes with Python 3.11 takes twice as long over it, so the first package is pip.
$(READY): tests/requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	grep -A 2 '^pip==' tests/requirements.lock > $(VENV)/pip.lock
	$(INSTALL) --require-hashes --no-compile --requirement $(VENV)/pip.lock
	$(INSTALL) --require-hashes --no-compile --requirement tests/requirements.lock
	PYTHONWARNINGS="ignore:Editable installation" $(INSTALL) --no-build-isolation --editable .
	@touch $@

clean:
	rm -rf $(VENV) .tollgate .mypy_cache .ruff_cache .pytest_cache .hypothesis bench-results screenshots
