.DEFAULT_GOAL := help
.PHONY: help run test screenshots smoke package deploy doctor rotate-key destroy bench figures load faults mutate check format lock clean

PORT ?= 5000
STAGE ?= prod
TABLE ?=
END_SESSIONS ?=
MEMORY ?= 512
PYTHON ?= python3
BIN := .venv/bin

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

run: .venv/ready ## Run the app at http://127.0.0.1:5000; no account needed (PORT=5001 for another port)
	@exec $(BIN)/python -m local --port "$(PORT)"

# Four workers even on two cores: most of the time, the tests wait for processes.
test: .venv/ready .runtime/ready .emulator/ready ## Run all tests and measure coverage
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder --cov

screenshots: .venv/ready ## Take screenshots of every page, and update those in README.md
	@$(BIN)/python -m pytest -q -k fits_every_width tests/browser
	@cp screenshots/logged-in-light-640.png docs/home-light.png
	@cp screenshots/logged-in-dark-640.png docs/home-dark.png

smoke: .venv/ready ## Check a running server against docs/security.md (URL=https://...)
	@SMOKE_URL=$(or $(URL),http://127.0.0.1:$(PORT)) $(BIN)/python -m pytest -c deploy/smoke.ini deploy/smoke.py

package: .venv/ready ## Build the deployment package, reproducibly (STAGE=prod or dev)
	@$(BIN)/python -m deploy.bundle $(STAGE)

deploy: .venv/ready ## Deploy to AWS; safe to repeat (STAGE=prod or dev)
	@$(BIN)/python -m deploy deploy "$(STAGE)"

doctor: .venv/ready ## Check the setup and the deployment, changing nothing (STAGE=prod or dev)
	@$(BIN)/python -m deploy doctor "$(STAGE)"

rotate-key: .venv/ready ## Replace the signing key, in just over six minutes; sessions stay valid unless END_SESSIONS=yes
	@$(BIN)/python -m deploy rotate-key "$(STAGE)" --end-sessions "$(END_SESSIONS)"

destroy: .venv/ready ## Remove a deployment (STAGE=prod or dev); keeps the users table unless TABLE=its-name
	@$(BIN)/python -m deploy destroy "$(STAGE)" --table "$(TABLE)"

bench: .venv/ready .runtime/ready ## Compare cold starts, logins, warm requests and calls with a plain Chalice app (MEMORY=256 for another size)
	@$(BIN)/python -m bench.cost --memory "$(MEMORY)"

figures: .venv/ready ## Draw docs/performance.png from the last run of make bench
	@$(BIN)/python -m bench.chart

load: .venv/ready ## Run 1,000 logins in 50 browsers, simultaneous callbacks, login/logout races, and refreshes at expiry
	@$(BIN)/python -m bench.load

faults: .venv/ready ## Measure the longest request, with every fault and every pair of faults
	@$(BIN)/python -m bench.faults

mutate: .venv/ready .runtime/ready .emulator/ready ## Remove each guard of docs/security.md and check that a test fails (ROWS="A1 C7" for some)
	@$(BIN)/python -m bench.mutate $(ROWS)

check: .venv/ready ## Check style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: .venv/ready ## Format the code and fix what ruff can fix
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: .venv/ready ## Pin the newest versions that pyproject.toml allows
	$(BIN)/pip-compile -q --upgrade $(LOCK) -o requirements.txt pyproject.toml
	$(BIN)/pip-compile -q --upgrade $(LOCK) -o requirements/dev.txt --extra dev -c requirements.txt pyproject.toml
	printf 'awslambdaric\nboto3\n' | $(BIN)/pip-compile -q --upgrade $(LOCK) -o requirements/runtime.txt -c requirements/dev.txt -
	printf 'ministack\n' | $(BIN)/pip-compile -q --upgrade $(LOCK) -o requirements/emulator.txt -

LOCK := --generate-hashes --allow-unsafe --no-strip-extras --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

clean: ## Delete everything built or installed, but not the local secret key
	rm -rf .venv .runtime .runtime-* .emulator .package .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .chalice/deployments

# Touched last, so that an installation that failed is repeated.
.venv/ready: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is required, and $(PYTHON) is older. Name a newer one:\n\n    make PYTHON=python3.12 $(MAKECMDGOALS)" if sys.version_info < (3, 11) else 0)'
	@echo "Installing the dependencies into .venv, once. This takes about a minute."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

# An interpreter with only the packages of AWS Lambda's runtime.
.runtime/ready: requirements/runtime.txt
	@echo "Installing the packages of Lambda's runtime into .runtime, once."
	@$(PYTHON) -m venv .runtime
	@.runtime/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@touch $@

# The emulated AWS. It has its own environment because it pins another version of botocore.
.emulator/ready: requirements/emulator.txt
	@echo "Installing the emulated AWS into .emulator, once."
	@$(PYTHON) -m venv .emulator
	@.emulator/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/emulator.txt
	@touch $@
