.DEFAULT_GOAL := help
.PHONY: help run test screenshots smoke package deploy doctor rotate-key destroy bench load faults mutate check format lock clean

PORT ?= 5000
STAGE ?= prod
TABLE ?=
END_SESSIONS ?=
PYTHON ?= python3
BIN := .venv/bin

help: ## List these verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' Makefile

run: .venv/ready ## Serve the whole login on http://127.0.0.1:5000, no account needed (PORT=5001 for another port)
	@$(BIN)/python -m local --port "$(PORT)"

test: .venv/ready .runtime/ready .emulator/ready ## Run every test, with coverage
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder --cov

screenshots: .venv/ready ## Take pictures of every page in every state into screenshots/, and the README's
	@$(BIN)/python -m pytest -q -k good_to_look tests/browser
	@cp screenshots/somebody-light-640.png docs/home-light.png
	@cp screenshots/somebody-dark-640.png docs/home-dark.png

smoke: .venv/ready ## Check the login server at URL from outside, row by row of docs/security.md
	@$(BIN)/python -m deploy.smoke $(or $(URL),http://127.0.0.1:$(PORT))

package: .venv/ready ## Make the zip that is deployed (STAGE=prod, or dev), the same bytes every time
	@$(BIN)/python -m deploy.bundle $(STAGE)

deploy: .venv/ready ## Deploy to AWS, step by step (STAGE=prod, or dev); safe to run again
	@$(BIN)/python -m deploy deploy "$(STAGE)"

doctor: .venv/ready ## Look for whatever is wrong with a set-up or a deployment (STAGE=prod), changing nothing
	@$(BIN)/python -m deploy doctor "$(STAGE)"

rotate-key: .venv/ready ## Change the key that signs the sessions, in a little over six minutes, unnoticed (END_SESSIONS=yes: at once, logging everybody out)
	@$(BIN)/python -m deploy rotate-key "$(STAGE)" --end-sessions "$(END_SESSIONS)"

destroy: .venv/ready ## Take a deployment away (STAGE=prod); the users table only with TABLE=its-name
	@$(BIN)/python -m deploy destroy "$(STAGE)" --table "$(TABLE)"

bench: .venv/ready .runtime/ready ## Measure cold starts, warm requests and round trips beside a plain Chalice app
	@$(BIN)/python -m bench.cost

load: .venv/ready ## 1,000 logins by 50 browsers at once, simultaneous callbacks, races of login and logout
	@$(BIN)/python -m bench.load

faults: .venv/ready ## Measure the longest request with each fault of each remote call, and with each pair of faults
	@$(BIN)/python -m bench.faults

mutate: .venv/ready .runtime/ready .emulator/ready ## Remove each guard of docs/security.md in turn, and see a test fall (ROWS="A1 C7" for some)
	@$(BIN)/python -m bench.mutate $(ROWS)

check: .venv/ready ## Lint, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: .venv/ready ## Format the code, and mend what can be mended
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: .venv/ready ## Pin the newest versions that pyproject.toml allows
	$(BIN)/pip-compile -q --upgrade $(LOCK) -o requirements.txt pyproject.toml
	$(BIN)/pip-compile -q --upgrade $(LOCK) -o requirements/dev.txt --extra dev -c requirements.txt pyproject.toml
	printf 'awslambdaric\nboto3\n' | $(BIN)/pip-compile -q --upgrade $(LOCK) -o requirements/runtime.txt -c requirements/dev.txt -
	printf 'ministack\ncfn-lint\n' | $(BIN)/pip-compile -q --upgrade $(LOCK) -o requirements/emulator.txt -

LOCK := --generate-hashes --allow-unsafe --no-strip-extras --no-annotate --no-header \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host

clean: ## Remove what was built and installed (not the local secret key)
	rm -rf .venv .runtime .emulator .package .coverage .mypy_cache .pytest_cache .ruff_cache .hypothesis .chalice/deployments

# The stamp is younger than both lists only once everything in them is installed.
.venv/ready: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed: make PYTHON=python3.12 ..." if sys.version_info < (3, 11) else 0)'
	@echo "Installing what it needs into .venv, once: about a minute."
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@touch $@

# An interpreter with what AWS Lambda's runtime has, and nothing else.
.runtime/ready: requirements/runtime.txt
	@echo "Installing what Lambda's runtime has into .runtime, once."
	@$(PYTHON) -m venv .runtime
	@.runtime/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/runtime.txt
	@touch $@

# AWS on this machine. It pins a botocore of its own.
.emulator/ready: requirements/emulator.txt
	@echo "Installing an emulated AWS into .emulator, once."
	@$(PYTHON) -m venv .emulator
	@.emulator/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/emulator.txt
	@touch $@
