# goald: everything that a person or a machine does with this repository.
#
# Needs Python 3.11 to 3.14, Rust 1.85 or newer, a C compiler and make; says which of them
# is missing. All that it makes is under .venv/, target/ and .goald/. Each step is done
# once, and again when what it depends on changes. VERBOSE=1 shows the steps' output.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:

# Right after its installation, rustup's directory is not yet on every shell's PATH.
export PATH := $(PATH):$(HOME)/.cargo/bin
# What this repository builds is one set of files; a shell's own settings would split it.
unexport VIRTUAL_ENV PYTHONPATH PYTHONHOME CARGO_TARGET_DIR CARGO_BUILD_TARGET

BIN := .venv/bin
STAMPS := .venv/stamps
STEP := scripts/step.sh
RUST := Cargo.toml Cargo.lock $(shell find native -path native/fuzz -prune -o \
	\( -name '*.rs' -o -name Cargo.toml \) -print)
PIP_INSTALL := $(BIN)/python -m pip --disable-pip-version-check install --no-input

##@ Use

.PHONY: help
help: ## What can be done here
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' Makefile

.PHONY: run
run: $(STAMPS)/ext ## Start goald with its own Redis and Postgres, and a demo (ARGS="..." adds options)
	@exec $(BIN)/goald serve --embedded --demo $(ARGS)

##@ Develop

.PHONY: setup
setup: $(STAMPS)/dev ## Make .venv with everything that development needs

.PHONY: ext
ext: $(STAMPS)/ext ## Build the Rust core, in release mode, into src/goald

.PHONY: test
test: $(STAMPS)/dev $(STAMPS)/ext ## Run every test, Rust and Python (ARGS="..." goes to pytest)
# The binding is tested from Python: its own test program would need libpython to link.
	@echo "Rust tests"
	@cargo test --locked --quiet --workspace --exclude goald-native
	@echo "Python tests"
	@$(BIN)/python -m pytest -n auto $(ARGS)

.PHONY: lint
lint: $(STAMPS)/dev $(STAMPS)/ext ## Check formats, lints, types and who imports whom
	@$(STEP) "rustfmt" cargo fmt --all --check
	@PYO3_PYTHON="$(CURDIR)/$(BIN)/python" $(STEP) "clippy" \
		cargo clippy --locked --quiet --workspace --all-targets -- -D warnings
	@$(STEP) "ruff format" $(BIN)/ruff format --check .
	@$(STEP) "ruff" $(BIN)/ruff check .
	@$(STEP) "mypy" $(BIN)/python -m mypy
	@$(STEP) "import-linter" $(BIN)/lint-imports
	@$(STEP) "stubtest of goald._native" $(BIN)/stubtest goald._native
	@echo "No complaints"

.PHONY: fmt
fmt: $(STAMPS)/dev ## Put the source into its format, and mend what the linters can mend
	@cargo fmt --all
	@$(BIN)/ruff check --fix --quiet . || true
	@$(BIN)/ruff format .

.PHONY: docs
docs: $(STAMPS)/dev $(STAMPS)/ext ## Write docs/openapi.json anew from the routes
	@$(BIN)/python -m goald.api > docs/openapi.json.new
	@mv docs/openapi.json.new docs/openapi.json

.PHONY: bench
bench: $(STAMPS)/dev $(STAMPS)/ext ## Measure on this machine (ARGS="..." goes to the bench)
	@exec $(BIN)/python -m bench $(ARGS)

.PHONY: coverage
coverage: $(STAMPS)/dev $(STAMPS)/ext ## Lines and branches that the tests reach, Python and Rust
	@$(BIN)/python -m coverage erase
	@$(BIN)/python -m coverage run -m pytest -n auto $(ARGS)
	@$(BIN)/python -m coverage combine --quiet
	@$(BIN)/python -m coverage report
	@cargo llvm-cov --version >/dev/null 2>&1 || { \
		echo "Missing: cargo-llvm-cov. Get it: cargo install cargo-llvm-cov" >&2; exit 1; }
	@cargo llvm-cov --locked --package goald-matcher

.PHONY: load
load: $(STAMPS)/dev $(STAMPS)/ext ## Put the API under load for a minute, and print percentiles (ARGS="--help")
	@exec $(BIN)/python -m bench.load $(ARGS)

.PHONY: apicheck
apicheck: $(STAMPS)/dev $(STAMPS)/ext ## Hold each operation to docs/openapi.json, 1,000 requests each (API_EXAMPLES=1000)
	@API_EXAMPLES=$(or $(API_EXAMPLES),1000) $(BIN)/python -m pytest \
		tests/integration/api/test_document_holds.py $(ARGS)

.PHONY: torture
torture: $(STAMPS)/dev $(STAMPS)/ext ## Play every fault many times (ROUNDS=20 MINUTES=60 SEED=7 FAULTS="name,name" ARGS=--write)
	@exec $(BIN)/python -m tests.fault.torture $(if $(ROUNDS),--rounds $(ROUNDS)) \
		$(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) \
		$(if $(FAULTS),--faults "$(FAULTS)") $(ARGS)

.PHONY: mutation
mutation: $(STAMPS)/dev $(STAMPS)/ext ## Take out each guard in turn: some test must notice (ARGS="--only WORD --write")
	@exec $(BIN)/python -m tests.fault.mutation $(ARGS)

.PHONY: fuzz
fuzz: ## Fuzz: TARGET=decode_msgpack, decode_json or buffer; SECONDS_EACH=60; needs nightly Rust
	@cargo fuzz --version >/dev/null 2>&1 || { \
		echo "Missing: cargo-fuzz. Get it: cargo install cargo-fuzz" >&2; exit 1; }
	@cargo +nightly --version >/dev/null 2>&1 || { \
		echo "Missing: nightly Rust. Get it: rustup toolchain install nightly" >&2; exit 1; }
	cargo +nightly fuzz run --fuzz-dir native/fuzz $(or $(TARGET),decode_msgpack) -- \
		-max_total_time=$(or $(SECONDS_EACH),60)

.PHONY: lock
lock: $(STAMPS)/venv ## Write requirements/*.txt anew from *.in (UPGRADE=1 takes newer versions)
	@set -e; uv=$$(command -v uv) || { \
		uv=.venv/uv/bin/uv; \
		[ -x $$uv ] || { $(BIN)/python -m venv .venv/uv && \
			$(STEP) "installing uv..." .venv/uv/bin/python -m pip install uv; }; }; \
	for name in daemon dev; do \
		$(STEP) "locking requirements/$$name.txt..." "$$uv" pip compile --universal \
			--generate-hashes --no-emit-index-url --no-emit-find-links \
			--python-version 3.11 --custom-compile-command "make lock" \
			$(if $(UPGRADE),--upgrade) requirements/$$name.in -o requirements/$$name.txt; \
	done

.PHONY: clean
clean: ## Remove what was built; the data under .goald/ stays
	rm -rf .venv target src/goald/_native*.so .mypy_cache .ruff_cache .pytest_cache \
		.hypothesis .import_linter_cache .benchmarks .coverage .coverage.*

# The steps. A stamp lies inside .venv, so that removing .venv forgets them all. The check
# of what is missing comes before anything is downloaded.

$(STAMPS)/venv:
	@python=$$(scripts/preflight.sh) && \
		$(STEP) "making the virtual environment .venv..." "$$python" -m venv .venv
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/daemon: requirements/daemon.txt | $(STAMPS)/venv
	@$(STEP) "installing Python packages into .venv (a minute or two, once)..." \
		$(PIP_INSTALL) --require-hashes --only-binary :all: -r requirements/daemon.txt
	@touch $@

# dev.txt holds all of daemon.txt in the same versions: one installation serves both.
$(STAMPS)/dev: requirements/daemon.txt requirements/dev.txt | $(STAMPS)/venv
	@$(STEP) "installing Python packages for development into .venv (a minute or two, once)..." \
		$(PIP_INSTALL) --require-hashes --only-binary :all: -r requirements/dev.txt
	@touch $(STAMPS)/daemon $@

$(STAMPS)/ext: pyproject.toml $(RUST) | $(STAMPS)/daemon
	@scripts/preflight.sh >/dev/null
	@PATH="$(CURDIR)/$(BIN):$$PATH" $(STEP) "building the Rust core (about a minute, once)..." \
		$(PIP_INSTALL) --no-deps --no-build-isolation --no-index -e .
	@touch $@
