# The two commands are `make demo` and `make test`; everything else is a part of them.
# Nothing is installed but what ansible/controller/setup.py names first.

PYTHON ?= python3
PRESET ?= release
DEMO ?= demo
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PATH := $(CURDIR)/.venv/bin:$(PATH)

# They run lines of headers alone, and for minutes where each is counted.
HEADER_PROOFS := RingModel|TornRead|CountsExactlyWhatItLost

SETUP := $(PYTHON) ansible/controller/setup.py
RECORDED := $(if $(RECORDING),--recording "$(RECORDING)") $(if $(VENUE),--venue "$(VENUE)")

.DEFAULT_GOAL := help
.PHONY: help setup build native demo demo-down local test matrix fleet-cost bench soak pgo arm64 sanitize coverage coverage-python proof ring-proof random-proof reader-proof fuzz lint format test-native test-python test-scenarios test-host clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  variables: RECORDING=path VENUE=name (demo, local), MINUTES=20 (soak), PYTHON=python3.12, PRESET=asan'

setup: ## install what building needs, and the virtual environment
	@$(SETUP) python build

build: setup native ## build/bin/quietcore-feed and .venv/bin/quietcore

# Without the set-up, for those who have it.
native:
	@cd native && cmake --preset $(PRESET) >/dev/null && cmake --build --preset $(PRESET) --target quietcore-feed

demo: ## provision the throw-away host, show the pipeline on it, leave it running
	@$(SETUP) python build host
	@quietcore demo --name "$(DEMO)" $(RECORDED)

demo-down: ## remove the throw-away host
	@quietcore vhost down --name "$(DEMO)"

local: build ## simulator, feed handler and runtime on this machine; nothing is changed on it
	@quietcore local $(RECORDED)

test: ## every check and test, the virtual host included
	@$(SETUP) python build host test browser unpacked
	@tests/run

matrix: ## every scenario on Debian 12 and 13: hours when emulated (MATRIX=--help)
	@$(SETUP) python build host test
	@tests/matrix $(MATRIX)

fleet-cost: ## what a run without a change costs 1, 5 and 20 hosts, as containers of a converged virtual host (root)
	@$(SETUP) python build host containers
	@tests/fleet-cost $(FLEET)

lint: ## ruff, mypy, clang-format, yamllint, ansible-lint
	@$(SETUP) python
	@tests/run lint

format: ## rewrite Python and C++ in the project's format
	@$(SETUP) python
	@ruff check --fix --quiet . ; ruff format .
	@git ls-files 'native/*.hpp' 'native/*.cpp' | xargs clang-format -i

test-native: ## GoogleTest, warnings as errors
	@$(SETUP) python build
	@tests/run native

test-python: ## pytest, without the virtual host
	@$(SETUP) python build test browser unpacked
	@tests/run build python

test-scenarios: ## 10,000 seeded scenarios of orders under every fault, and the planted bugs
	@$(SETUP) python test
	@PYTHONPATH=runtime python -m tests.scenarios.campaign

test-host: ## molecule test: the whole site on a virtual host
	@$(SETUP) python build host test
	@tests/run build host

bench: ## measure against baselines, limits and other projects, and in compiled code: build/bench/*.json
	@$(SETUP) python build
	@cd native && cmake --preset bench >/dev/null && cmake --build --preset bench --target quietcore-bench quietcore-bench-unmeasured quietcore-feed
	@$(PYTHON) native/bench/run.py $(BENCH)
	@$(if $(BENCH),,$(PYTHON) runtime/bench/run.py)

soak: build ## load the pipeline for MINUTES (default 1; a release: 20): build/soak
	@quietcore soak --minutes $(or $(MINUTES),1) --out build/soak/soak.json --png build/soak/soak.png $(SOAK)

pgo: ## the feed handler optimised by what recordings exercise: build/native/pgo/bin (needs recordings)
	@$(SETUP) python build
	@rm -rf build/native/pgo/profile
	@cd native && cmake --preset pgo -DQUIETCORE_PGO=train >/dev/null && cmake --build --preset pgo --target quietcore-feed
	@$(PYTHON) native/bench/train.py
	@cd native && cmake --preset pgo -DQUIETCORE_PGO=use >/dev/null && cmake --build --preset pgo --target quietcore-feed quietcore-bench

arm64: ## compile the feed handler for arm64 (not linked: a distribution has no libraries of another architecture)
	@$(SETUP) python build arm64
	@cd native && cmake --preset arm64 >/dev/null && cmake --build --preset arm64

sanitize: ## every native test under AddressSanitizer and UBSan, then under ThreadSanitizer
	@$(SETUP) python build test
	@failed=0; \
	for preset in asan tsan; do \
	  (cd native && cmake --preset $$preset >/dev/null && cmake --build --preset $$preset) || exit 1; \
	  ctest --test-dir build/native/$$preset --output-on-failure --no-tests=error || failed=1; \
	  QUIETCORE_FEED=$(CURDIR)/build/native/$$preset/bin/quietcore-feed ASAN_OPTIONS=verify_asan_link_order=0 \
	    pytest -q tests/native || failed=1; \
	done; exit $$failed

coverage: ## lines of native/src that its tests run; fails below 90 %
	@$(SETUP) python build test coverage
	@cd native && cmake --preset coverage >/dev/null && cmake --build --preset coverage
	@find build/native/coverage -name '*.gcda' -delete
	@ctest --test-dir build/native/coverage --output-on-failure --no-tests=error -E '$(HEADER_PROOFS)'
	@failed=0; \
	QUIETCORE_FEED=$(CURDIR)/build/native/coverage/bin/quietcore-feed pytest -q tests/native || failed=1; \
	gcovr --root native --filter 'native/src/' build/native/coverage --fail-under-line 90 --print-summary || failed=1; \
	exit $$failed

coverage-python: ## lines of runtime/ that its tests run, compiled and as Python; fails below 90 % (half an hour)
	@$(SETUP) python build test browser unpacked
	@$(MAKE) --no-print-directory native
	@tests/coverage

proof: ## every proof that is too long for `make test` and whose record is stale (PROOF=--help, --list, NAME)
	@$(SETUP) python build host test
	@tests/proof $(PROOF)

ring-proof: ## hunt for torn reads, 10⁹ of them in C++ and in numba each (some minutes)
	@$(SETUP) python build
	@cd native && cmake --preset release >/dev/null && cmake --build --preset release --target quietcore_tests
	@QUIETCORE_TORN_READS=1000000000 build/native/release/bin/quietcore_tests --gtest_filter='TornRead.*'
	@QUIETCORE_TORN_READS=1000000000 pytest --timeout=0 -s -q tests/runtime/test_ring.py -k torn

reader-proof: ## give each native reader a million inputs whose truth is known (some minutes)
	@$(SETUP) python build
	@cd native && cmake --preset release >/dev/null && cmake --build --preset release --target quietcore_tests
	@QUIETCORE_READER_INPUTS=1000000 build/native/release/bin/quietcore_tests --gtest_filter='ReaderCampaign.*'

random-proof: ## a million messages with every fault at random, each LIVE book compared with the truth (some minutes)
	@$(SETUP) python build test
	@$(MAKE) --no-print-directory native
	@QUIETCORE_RANDOM_MESSAGES=1000000 pytest --timeout=0 -s -q tests/native/test_randomised.py

fuzz: ## run the fuzzers for SECONDS each (default 20); needs clang and its libclang-rt-…-dev
	@cd native && cmake --preset fuzz >/dev/null && cmake --build --preset fuzz --target fuzz_bybit fuzz_binance fuzz_multicast fuzz_attach fuzz_instruments fuzz_control fuzz_recording
	@$(PYTHON) native/fuzz/run.py $(SECONDS)

clean: ## remove what was built; the virtual environment and images stay
	@rm -rf build/bin build/native build/log build/release
