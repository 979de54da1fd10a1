# goald: the commands for building, running, testing and measuring this repository.
#
# Requires Python 3.11 to 3.14, Rust 1.85 or newer, a C compiler and make, and lists those
# that are missing. All output is under .venv/, target/ and .goald/. A step runs again
# when one of its inputs changes. VERBOSE=1 shows the output of the steps.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

# rustup adds its directory to the PATH of new shells only.
export PATH := $(PATH):$(HOME)/.cargo/bin
# These variables would make a part of the build use another environment or directory, or every
# process compile every module again.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME CARGO_TARGET_DIR CARGO_BUILD_TARGET
unexport PYTHONDONTWRITEBYTECODE

BIN := .venv/bin
STAMPS := .venv/stamps
STEP := scripts/step.sh
RUST := Cargo.toml Cargo.lock $(shell find native -path native/fuzz -prune -o \
	\( -name '*.rs' -o -name Cargo.toml \) -print)
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --no-input

##@ Use

.PHONY: help
help: ## List the commands
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: $(STAMPS)/ext ## Start goald with embedded Redis and Postgres, and a demo tenant (ARGS="..." adds options)
	@exec $(BIN)/goald serve --embedded --demo $(ARGS)

##@ Develop

.PHONY: setup
setup: $(STAMPS)/dev ## Create .venv with all development dependencies

.PHONY: ext
ext: $(STAMPS)/ext ## Build the Rust extension into src/goald (release profile)

.PHONY: test
test: test-rust test-python ## Run all Rust and Python tests (ARGS="..." is passed to pytest; the Rust tests always run)

.PHONY: test-rust
test-rust:
# Python tests cover the binding, because a Rust test binary of it must link libpython.
	@echo "building and running the Rust tests (several minutes the first time)..."
	@cargo test --locked --quiet --workspace --exclude goald-native

.PHONY: test-python
test-python: $(STAMPS)/dev $(STAMPS)/ext $(STAMPS)/audit
	@echo "running the Python tests..."
	@$(BIN)/python -m pytest -n auto $(ARGS)

.PHONY: lint
lint: lint-rust lint-python ## Check formatting, lints, types, imports and the native stub
	@echo "All checks passed"

.PHONY: lint-rust
lint-rust: $(STAMPS)/dev $(STAMPS)/ext
	@$(STEP) "rustfmt" cargo fmt --all --check
	@PYO3_PYTHON="$(CURDIR)/$(BIN)/python" $(STEP) "clippy" \
		cargo clippy --locked --quiet --workspace --all-targets -- -D warnings
	@$(STEP) "stubtest of goald._native" $(BIN)/stubtest goald._native

.PHONY: lint-python
lint-python: $(STAMPS)/dev
	@$(STEP) "ruff format" $(BIN)/ruff format --check .
	@$(STEP) "ruff" $(BIN)/ruff check .
	@$(STEP) "mypy" $(BIN)/python -m mypy
	@$(STEP) "import-linter" $(BIN)/lint-imports
	@$(STEP) "retired words" $(BIN)/python -m scripts.checks words
	@$(STEP) "structure" $(BIN)/python -m scripts.checks structure

.PHONY: audit
audit: $(STAMPS)/audit ## Check all locked packages: known vulnerabilities, licenses, sources
	@.venv/audit/bin/python -m scripts.supply_chain.audit

.PHONY: sbom
sbom: $(STAMPS)/audit ## Write CycloneDX bills of materials into dist/
	@.venv/audit/bin/python -m scripts.supply_chain.sbom

.PHONY: words
words: $(STAMPS)/dev ## Find retired words (ARGS="--summary", or ARGS="PATH ...")
	@$(BIN)/python -m scripts.checks words $(ARGS)

.PHONY: structure
structure: $(STAMPS)/dev ## Find full folders, long constructors and repeated class names
	@$(BIN)/python -m scripts.checks structure

.PHONY: fmt
fmt: $(STAMPS)/dev ## Format the source, and apply the fixes of the linters
	@cargo fmt --all
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

.PHONY: docs
docs: $(STAMPS)/dev $(STAMPS)/ext ## Generate docs/openapi.json and the tables of docs/reference from the code
	@$(BIN)/python -m goald.api > docs/openapi.json.new
	@mv docs/openapi.json.new docs/openapi.json
	@$(BIN)/python -m scripts.reference

.PHONY: bench
bench: $(STAMPS)/dev $(STAMPS)/ext ## Run the benchmarks (ARGS="..." is passed on)
	@exec $(BIN)/python -m bench $(ARGS)

.PHONY: coverage
coverage: $(STAMPS)/dev $(STAMPS)/ext ## Report line and branch coverage, Python and Rust
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m coverage run -m pytest -n auto $(ARGS)
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report
	@cargo llvm-cov --version >/dev/null 2>&1 || { \
		echo "Missing: cargo-llvm-cov. Get it: cargo install cargo-llvm-cov" >&2; exit 1; }
	@cargo llvm-cov --locked --package goald-matcher

.PHONY: load
load: $(STAMPS)/dev $(STAMPS)/ext ## Load the API for a minute, and print latency percentiles (ARGS="--help")
	@exec $(BIN)/python -m bench.load $(ARGS)

.PHONY: apicheck
apicheck: $(STAMPS)/dev $(STAMPS)/ext ## Test each operation against docs/openapi.json (API_EXAMPLES=1000 requests each)
	@API_EXAMPLES=$(or $(API_EXAMPLES),1000) $(BIN)/python -m pytest \
		tests/integration/api/test_contract.py $(ARGS)

.PHONY: torture
torture: $(STAMPS)/dev $(STAMPS)/ext ## Inject every fault repeatedly (ROUNDS=20 MINUTES=60 SEED=7 FAULTS="name,name" ARGS=--write)
	@exec $(BIN)/python -m tests.fault.torture $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) \
		$(if $(FAULTS),--faults "$(FAULTS)") $(ARGS)

.PHONY: mutation
mutation: $(STAMPS)/dev $(STAMPS)/ext ## Remove each guard, one by one: a test must fail (ARGS="--only WORD --write")
	@exec $(BIN)/python -m tests.fault.mutation $(ARGS)

.PHONY: fuzz
fuzz: ## Fuzz TARGET=decode_msgpack, decode_json or buffer (SECONDS_EACH=60; requires nightly Rust)
	@cargo fuzz --version >/dev/null 2>&1 || { \
		echo "Missing: cargo-fuzz. Get it: cargo install cargo-fuzz" >&2; exit 1; }
	@cargo +nightly --version >/dev/null 2>&1 || { \
		echo "Missing: nightly Rust. Get it: rustup toolchain install nightly" >&2; exit 1; }
	cargo +nightly fuzz run --fuzz-dir native/fuzz $(or $(TARGET),decode_msgpack) -- \
		-max_total_time=$(or $(SECONDS_EACH),60)

.PHONY: lock
lock: $(STAMPS)/venv ## Generate requirements/*.txt from *.in (UPGRADE=1 selects newer versions)
	@set -e; uv=$$(command -v uv) || { \
		uv=.venv/uv/bin/uv; \
		[ -x $$uv ] || { $(BIN)/python -m venv .venv/uv && \
			$(STEP) "installing uv..." .venv/uv/bin/python -m pip install uv; }; }; \
	for name in requirements/daemon requirements/dev requirements/audit \
			$(basename $(wildcard bench/peers/requirements-*.in)); do \
		$(STEP) "locking $$name.txt..." "$$uv" pip compile --universal \
			--generate-hashes --no-emit-index-url --no-emit-find-links \
			--python-version 3.11 --custom-compile-command "make lock" \
			$(if $(UPGRADE),--upgrade) $$name.in -o $$name.txt; \
	done

.PHONY: clean
clean: ## Remove build output; keeps the data under .goald/
	rm -rf .venv target dist src/goald/_native*.so .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache .benchmarks .coverage .coverage.*

# The stamps are inside .venv, so that removing .venv resets them. The check for missing
# tools runs before any download.

$(STAMPS)/venv:
	@python=$$(scripts/preflight.sh) && \
		$(STEP) "creating the virtual environment .venv..." "$$python" -m venv .venv
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/daemon: requirements/daemon.txt | $(STAMPS)/venv
	@$(STEP) "installing Python packages into .venv (a minute or two, once)..." \
		$(PIP_INSTALL) --require-hashes --only-binary :all: -r requirements/daemon.txt
	@touch $@

# dev.txt contains all of daemon.txt in the same versions, so one installation is enough.
$(STAMPS)/dev: requirements/daemon.txt requirements/dev.txt | $(STAMPS)/venv
	@$(STEP) "installing Python packages for development into .venv (a minute or two, once)..." \
		$(PIP_INSTALL) --require-hashes --only-binary :all: -r requirements/dev.txt
	@touch $(STAMPS)/daemon $@

# Apart from the rest, so that its many packages do not restrict the versions of goald's.
$(STAMPS)/audit: requirements/audit.txt | $(STAMPS)/venv
	@$(STEP) "installing the audit tools into .venv/audit (once)..." sh -c '\
		rm -rf .venv/audit && $(BIN)/python -m venv .venv/audit && \
		.venv/audit/bin/python -m pip --disable-pip-version-check install --no-input \
			--require-hashes --only-binary :all: -r requirements/audit.txt'
	@touch $@

$(STAMPS)/ext: pyproject.toml src/goald/_native.pyi $(RUST) | $(STAMPS)/daemon
	@scripts/preflight.sh >/dev/null
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(STEP) "building the Rust extension (about a minute, once)..." \
		$(PIP_INSTALL) --no-deps --no-build-isolation --no-index -e .
	@touch $@
