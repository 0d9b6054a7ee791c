# The machinery of the house. `make help` prints the map.

BIN := .venv/bin
STAMP := .venv/.stamp
WORKERS ?= 2
FUZZ_SECONDS ?= 600
# One test file stays on one worker, so that its servers start once; tests/conftest.py says which files come first.
PYTEST = $(BIN)/pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder
# Versions already in a lock file are kept; `make lock LOCK_FLAGS=--upgrade` takes the newest.
LOCK := uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet
# Many container images forbid bytecode. Without it each of the hundreds of processes that the tests start compiles all
# of its modules again, which takes as long as the tests themselves.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help setup demo check format test test-clickhouse-server test-peers fuzz-api bench lock clean

help: ## Show this map
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-23s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## Install everything that is pinned in requirements.lock into .venv

$(STAMP): requirements.lock pyproject.toml .ci/setup
	@.ci/setup
	@touch $@

demo: setup ## Bring the whole stack up, replay the recorded intrusion, show what was found
	@$(BIN)/aurora demo

check: setup ## Format, lint, types, import rules, unit, contract and structure tests (2 minutes)
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=target .reading .running

# mypy keeps one core busy for as long as the tests take: beside one another they need half the time.
.PHONY: .reading .running
.reading:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports
	$(BIN)/mypy
.running:
	$(PYTEST) tests/unit tests/contract tests/structure

format: setup ## Rewrite the code as `make check` wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Tests of whole stacks wait for a quarter of their time: one more worker than cores.
test: WORKERS = 3
test: setup ## The whole suite on real servers, but for the peers (10 minutes)
	$(PYTEST) --ignore=tests/peers

test-clickhouse-server: setup ## siem's tests again, on ClickHouse's HTTP interface instead of the engine in process
	$(PYTEST) --clickhouse-server $$(grep -l 'tests\.siem\|tests\.runs' tests/integration/*.py)

test-peers: setup ## Tests against software from elsewhere: npm packages, Debian tools
	@.ci/node || echo "Node 24 could not be installed; the tests that need it will skip"
	$(BIN)/pytest -q tests/peers

fuzz-api: setup ## Call a whole stack with random data by its description, for FUZZ_SECONDS (10 minutes)
	$(BIN)/python -m tests.fuzz_run $(FUZZ_SECONDS) $(FUZZ_SEED)

bench: setup ## Measure ingest, JSON-RPC and the gateway, each beside its floor
	@$(BIN)/python -m benchmarks

lock: ## Pin what pyproject.toml asks for, with hashes (needs uv)
	@command -v uv >/dev/null || { echo "make lock needs uv on the PATH" >&2; exit 1; }
	$(LOCK) $(LOCK_FLAGS) --all-extras --output-file requirements.lock
	$(LOCK) $(LOCK_FLAGS) --output-file requirements-runtime.lock

clean: ## Remove .venv, caches and build output; data folders stay
	rm -rf .venv build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name node_modules -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
