# CI calls install, lint and test. A stamp file in .venv keeps the install from running twice.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: help install demo test lint format bench conformance clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

install: $(STAMP) ## Make .venv with everything that service, trainer and tests need

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[trainer,dev]'
	@touch $@

demo: install ## A frozen classifier fails on another source, gets one unlabelled batch, and recovers
	@$(BIN)/foreoptic demo $(ARGS)

test: install ## The whole test suite
	$(BIN)/python -m pytest $(ARGS)

bench: install ## Measure the service beside onnxruntime alone and other servers; needs wrk
	$(BIN)/python -m benchmarks.serving $(ARGS)

conformance: install ## Run KServe's own client, in an environment of its own
	@test -x .venv-kserve/bin/python || $(PYTHON) -m venv .venv-kserve
	.venv-kserve/bin/python -m pip install --quiet --disable-pip-version-check 'kserve>=0.21'
	KSERVE_PYTHON=$(CURDIR)/.venv-kserve/bin/python $(BIN)/python -m pytest tests/conformance $(ARGS)

lint: install ## ruff, mypy, the import rules, and the containers' files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml docker-compose.gpu.yml

format: install ## Let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## Remove what the targets above made
	rm -rf $(VENV) .venv-* .foreoptic .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
