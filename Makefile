# Everything that one does in this repository. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
PIP_INSTALL := $(BIN)/python -m pip install -qq --disable-pip-version-check
EXTRA_INDEX := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
PYTEST := $(BIN)/python -m pytest
# Processes that share the tests, file by file: fixtures of a file are made once.
TEST_JOBS ?= 2
BENCH_VENV := .venv-bench
COMPILED := build/compiled
COMPILED_STAMP := $(COMPILED)/.installed
SOURCES := $(shell find p2pfed robust sim topologies -name '*.py' 2>/dev/null)
BENCH_STAMP := $(BENCH_VENV)/.installed
RAY_VENV := .venv-ray
RAY_STAMP := $(RAY_VENV)/.installed
SITE_PACKAGES := -c 'import sysconfig; print(sysconfig.get_path("purelib"))'

# Installs an extra into an environment that sees the packages of $(VENV) and does not repeat them.
define install_beside
@test -x $(1)/bin/python || $(PYTHON) -m venv $(1)
@echo "import site; site.addsitedir('$$($(BIN)/python $(SITE_PACKAGES))')" \
	> "$$($(1)/bin/python $(SITE_PACKAGES))/packages_of_venv.pth"
@$(1)/bin/python -m pip install -qq --disable-pip-version-check \
	--editable '.[$(2)]' --constraint constraints.txt $(EXTRA_INDEX)
@touch $@
endef

# No test and no program loads weights from a hub: what they need comes from `p2pfed data fetch`.
export HF_HUB_OFFLINE := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-ray test-compiled compiled test-system nightly check audit bench bench-robust bench-sim bench-updates attack-matrix results results-bytes results-seeds results-utilization docs clean

help:
	@echo "make setup        install into $(VENV); TORCH_INDEX=URL adds an index with another torch build"
	@echo "make demo         eight peers, one of them hostile, learn together; DEMO_ARGS='--task digits'"
	@echo "make test         all tests but those below; PYTEST_ARGS='-k name' picks some; TEST_JOBS=4 processes"
	@echo "make test-system  tests that need nft, Chromium or node"
	@echo "make compiled     build a wheel of this platform in $(COMPILED) that simulates faster; minutes"
	@echo "make test-ray     the tests of sweeps on a local Ray, in $(RAY_VENV)"
	@echo "make test-compiled tests of core, wire format and simulator with what it built"
	@echo "make nightly      long searches for rare failures; SWARM_SEEDS=100000 plays more random worlds than 10,000"
	@echo "make check        formatting, lint, types, import layers"
	@echo "make audit        known vulnerabilities of the versions in constraints.txt (needs the network)"
	@echo "make bench        measure speed and bytes on this machine"
	@echo "make bench-robust measure the rules beside byzfl, in $(BENCH_VENV); hours; BENCH_ARGS='--name krum' prints its rows"
	@echo "make bench-sim    measure the simulator beside gossipy; hours; BENCH_ARGS='--peers 100' prints its rows"
	@echo "make bench-updates measure codecs and the seed ledger beside plain calls; minutes"
	@echo "make attack-matrix simulate every rule under every attack; an hour; MATRIX_ARGS='--rules median' goes to build/"
	@echo "make results      run the demonstrations behind docs/results.md; RESULTS_ARGS='--task digits' prints its rows"
	@echo "make results-bytes accuracy against bytes; hours; BYTES_ARGS='--task digits' takes minutes"
	@echo "make results-seeds all weights of an encoder by losses alone; half an hour; SEEDS_ARGS='--task digits' takes seconds and is printed only"
	@echo "make results-utilization how much of the time peers on home lines train; half an hour; UTILIZATION_ARGS='--update sparse-sum' is printed only"
	@echo "make docs         run the examples of README and docs/, check their links"
	@echo "make clean        remove $(VENV), $(BENCH_VENV), $(RAY_VENV), caches and build output"

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "p2pfed needs Python 3.11 or newer; set PYTHON=")'
	@echo "installing into $(VENV) (some minutes the first time, with nothing to see)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP_INSTALL) --editable '.[dev]' --constraint constraints.txt $(EXTRA_INDEX)
	@# libp2p needs trio-typing, whose stubs of an old trio would hide trio's own types from mypy.
	@rm -rf $(VENV)/lib/python*/site-packages/trio-stubs
	@touch $@

demo: setup
	@$(BIN)/p2pfed demo $(DEMO_ARGS)

test: setup
	@$(BIN)/p2pfed data fetch reuters minilm
	@mkdir -p build
	@$(PYTEST) -m "not nightly and not system and not gpu and not compiled" \
		--numprocesses $(TEST_JOBS) --dist loadfile \
		--cov --cov-report=json:build/coverage.json $(PYTEST_ARGS)

test-system: setup
	@$(PYTEST) -m "system and not gpu" $(PYTEST_ARGS) || { rc=$$?; \
		[ $$rc -eq 5 ] && echo "there is no test yet that needs a system tool" || exit $$rc; }

compiled: $(COMPILED_STAMP)

# The wheel is made of the source distribution, so that nothing compiled comes to lie beside the sources.
$(COMPILED_STAMP): $(STAMP) $(SOURCES)
	@echo "compiling the core and the event loop of simulations (some minutes, with nothing to see)"
	@rm -rf $(COMPILED)
	@mkdir -p $(COMPILED)
	@HATCH_BUILD_HOOK_ENABLE_MYPYC=1 $(BIN)/python -m build --no-isolation \
		--outdir $(COMPILED) > $(COMPILED)/build.log 2>&1 || { tail -n 40 $(COMPILED)/build.log; exit 1; }
	@$(PIP_INSTALL) --no-deps --target $(COMPILED)/site $(COMPILED)/*.whl
	@touch $@

# Ray and what comes with it stay out of $(VENV).
test-ray: $(RAY_STAMP)
	@$(RAY_VENV)/bin/python -m pytest -k ray $(PYTEST_ARGS) tests/sim/test_sweeps.py

$(RAY_STAMP): $(STAMP)
	@echo "installing Ray into $(RAY_VENV)"
	$(call install_beside,$(RAY_VENV),ray)

test-compiled: $(COMPILED_STAMP)
	@PYTHONPATH=$(COMPILED)/site:. $(BIN)/python -P -m pytest \
		-m "not interpreted and not nightly and not system and not gpu" \
		--numprocesses $(TEST_JOBS) --dist loadfile $(PYTEST_ARGS) tests/core tests/wire tests/sim

nightly: setup
	@$(PYTEST) -m "nightly and not system and not gpu" --hypothesis-profile=nightly $(PYTEST_ARGS)

check: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

audit: setup
	$(BIN)/pip-audit --requirement constraints.txt --no-deps --disable-pip --strict

bench: setup
	@$(BIN)/python -m benchmarks $(BENCH_ARGS)

bench-robust: $(BENCH_STAMP)
	@$(BENCH_VENV)/bin/python -m benchmarks.robust_speed $(BENCH_ARGS)

bench-sim: $(BENCH_STAMP) $(COMPILED_STAMP)
	@$(BIN)/p2pfed data fetch reuters minilm
	@$(BENCH_VENV)/bin/python -m benchmarks.sim_speed $(BENCH_ARGS)

# byzfl, gossipy and what comes with them stay out of $(VENV).
$(BENCH_STAMP): $(STAMP)
	@echo "installing byzfl and gossipy into $(BENCH_VENV)"
	$(call install_beside,$(BENCH_VENV),bench)

bench-updates: setup
	@$(BIN)/python -m benchmarks.codec_speed
	@$(BIN)/python -m benchmarks.seed_ledger_speed

attack-matrix: setup
	@$(BIN)/python -m benchmarks.attack_matrix $(MATRIX_ARGS)

results: setup
	@$(BIN)/python -m benchmarks.results $(RESULTS_ARGS)

results-bytes: setup
	@$(BIN)/p2pfed data fetch reuters minilm
	@$(BIN)/python -m benchmarks.bytes_table $(BYTES_ARGS)

results-seeds: setup
	@$(BIN)/p2pfed data fetch reuters minilm
	@$(BIN)/python -m benchmarks.seeds_full $(SEEDS_ARGS)

results-utilization: setup
	@$(BIN)/python -m benchmarks.utilization $(UTILIZATION_ARGS)

docs: setup
	@$(PYTEST) tests/docs

clean:
	rm -rf $(VENV) $(BENCH_VENV) $(RAY_VENV) build dist .coverage .hypothesis .mypy_cache .pytest_cache .ruff_cache
	rm -rf .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
