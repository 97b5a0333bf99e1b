# The two commands are `make demo` and `make test`; everything else is a part of them.
# Nothing is installed but what ansible/controller/setup.py names first.

PYTHON ?= python3
PRESET ?= release
DEMO ?= demo
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg
export PATH := $(CURDIR)/.venv/bin:$(PATH)

SETUP := $(PYTHON) ansible/controller/setup.py
RECORDED := $(if $(RECORDING),--recording "$(RECORDING)") $(if $(VENUE),--venue "$(VENUE)")

.DEFAULT_GOAL := help
.PHONY: help setup build demo demo-down local test lint format test-native test-python test-host clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo '  variables: RECORDING=path VENUE=name (demo, local), PYTHON=python3.12, PRESET=asan'

setup: ## install what building needs, and the virtual environment
	@$(SETUP) python build

build: setup ## build/bin/quietcore-feed and .venv/bin/quietcore
	@.ci/step "native build ($(PRESET))" cmake -P native/build.cmake $(PRESET)

demo: ## provision the throw-away host, show the pipeline on it, leave it running
	@$(SETUP) python build host
	@quietcore demo --name "$(DEMO)" $(RECORDED)

demo-down: ## remove the throw-away host
	@quietcore vhost down --name "$(DEMO)"

local: build ## simulator, feed handler and runtime on this machine; nothing is changed on it
	@quietcore local $(RECORDED)
