.DEFAULT_GOAL := help
.PHONY: help run test test-all test-more test-project interruptions screenshots smoke contract package deploy doctor rotate-key destroy policies bench load faults mutate promises check format lock clean

PORT ?= 5000
STAGE ?=
CONFIRM ?=
TABLE ?=
END_SESSIONS ?=
# Not those of the shell: a variable that was exported once must not choose what is changed or deleted.
$(foreach name,STAGE TABLE CONFIRM END_SESSIONS,$(if $(findstring command,$(origin $(name))),,$(eval $(name) :=)))
MEMORY ?= 512
PYTHON ?= python3
BIN := .venv/bin
INSTALL := PYTHON="$(PYTHON)" sh requirements/install
unexport PYTHONSAFEPATH # with it, python -m does not find the packages of this folder
export AGAIN := $(strip make $(MAKECMDGOALS) $(filter-out PYTHON=%,$(MAKEOVERRIDES)))

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

run: .venv/ready-to-run ## Run the app at http://127.0.0.1:5000; no account needed (PORT=5001 for another port)
	@exec $(BIN)/python -m local --port "$(PORT)"

QUICK := tests/site tests/unit tests/contract tests/faults tests/integration/test_story.py
# Their tests run no code of the app in their process, so they add nothing to its coverage.
TOOLS := local rotation simulator

# Three workers even on two cores: a third of the time, the tests wait.
test: .venv/ready-to-test ## Run the tests that need no browser and no emulated AWS
	$(BIN)/python -m pytest -n 3 $(QUICK)

test-all: test test-more ## Run all tests

test-more: .venv/ready .runtime/ready .emulator/ready ## Run what make test leaves out, try more examples, and measure coverage
	$(BIN)/python -m pytest -n 6 --dist loadfile --no-loadscope-reorder --deep "$(QUICK)" \
		tests/browser tests/deployment tests/unit tests/contract tests/faults tests/integration
	$(BIN)/python -m pytest -n 3 -m "not deep" --cov $(TOOLS:%=--ignore=tests/unit/test_%.py) tests/unit tests/faults

interruptions: .venv/ready .emulator/ready ## Kill a deployment, and refuse it a call, at each call to AWS that it makes
	$(BIN)/python -m pytest --every-call tests/deployment/test_interruptions.py

test-project: .venv/ready ## Check this project's own documents, layout and policies, which your copy may change
	$(BIN)/python -m pytest -q tests/project

screenshots: .venv/ready ## Take screenshots of every page, and update those in README.md
	@$(BIN)/python -c "$$NEEDS_CHROMIUM"
	@SCREENSHOTS=screenshots $(BIN)/python -m pytest -q -k fits_every_width tests/browser
	@cp screenshots/logged-out-light-640.png docs/logged-out.png
	@cp screenshots/logged-in-light-640.png docs/logged-in.png

define NEEDS_CHROMIUM
import sys
from tests.support.browser import PATH
sys.exit(not PATH and """make screenshots needs Chromium, but none is installed. On Debian, install it:

    sudo apt-get install chromium
""")
endef
export NEEDS_CHROMIUM

smoke: .venv/ready ## Check a running server against docs/security.md (URL=https://...)
	@SMOKE_URL=$(or $(URL),http://127.0.0.1:$(PORT)) $(BIN)/python -m pytest -c deploy/smoke.ini deploy/smoke.py

contract: .venv/ready ## Check what we believe about Spotify against Spotify itself; needs an app's ID and secret, but no user
	@$(BIN)/python -m pytest -c tests/contract/live.ini tests/contract/beliefs.py

package: .venv/ready ## Build the deployment package, reproducibly (STAGE=prod or dev)
	@$(BIN)/python -m deploy.bundle "$(STAGE)"

deploy: .venv/ready ## Deploy to AWS; safe to repeat (STAGE=prod or dev)
	@$(BIN)/python -m deploy deploy "$(STAGE)"

doctor: .venv/ready ## Check the setup and the deployment, changing nothing (STAGE=prod or dev)
	@$(BIN)/python -m deploy doctor "$(STAGE)"

rotate-key: .venv/ready ## Replace the signing key, in just over six minutes; sessions stay valid unless END_SESSIONS=yes
	@$(BIN)/python -m deploy rotate-key "$(STAGE)" --end-sessions "$(END_SESSIONS)"

destroy: .venv/ready ## Remove a deployment (STAGE=prod or dev); keeps the users table unless TABLE=its-name
	@$(BIN)/python -m deploy destroy "$(STAGE)" --table "$(TABLE)" --confirm "$(CONFIRM)"

policies: .venv/ready ## Write the names of .chalice/config.json into all policies, for example after a change of app_name
	@$(BIN)/python -m deploy.policies

bench: .venv/ready .runtime/ready ## Compare cold starts and warm requests with a plain Chalice app (MEMORY=256 for another size)
	@$(BIN)/python -m bench.cost --memory "$(MEMORY)"

load: .venv/ready ## Run 1,000 logins in 50 browsers, login/logout races, and refreshes at expiry
	@$(BIN)/python -m bench.load

faults: .venv/ready .runtime/ready ## Measure the longest request, with every fault and every pair of faults
	@$(BIN)/python -m bench.faults

promises: .venv/ready ## List the promises of docs/security.md with their tests
	@$(BIN)/python -m tests.support.promises

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
	@$(BIN)/python requirements/lock.py

clean: ## Delete everything that make created, except .chalice/deployed, Chalice's record of what it deployed
	rm -rf .venv .runtime .emulator .package .local .coverage .coverage.* .hypothesis screenshots
	rm -rf .mypy_cache .pytest_cache .ruff_cache .chalice/deployments .chalice/venv
	find . -name __pycache__ -prune -exec rm -rf {} +

# One environment, with three marks for how much of it is installed.
TO_RUN := requirements.txt requirements/aws.txt requirements/run.txt
TO_TEST := $(TO_RUN) requirements/test.txt

.venv/ready-to-run: $(TO_RUN)
	@$(INSTALL) $@ requirements/run.txt chalice.cli

.venv/ready-to-test: $(TO_TEST)
	@$(INSTALL) $@ requirements/test.txt pytest
	@touch .venv/ready-to-run

.venv/ready: $(TO_TEST) requirements/dev.txt
	@$(INSTALL) $@ requirements/dev.txt mypy
	@touch .venv/ready-to-run .venv/ready-to-test

# An interpreter with only the packages of AWS Lambda's runtime.
.runtime/ready: requirements/aws.txt requirements/runtime.txt
	@$(INSTALL) $@ requirements/runtime.txt awslambdaric

# The emulated AWS. It has its own environment because it pins another version of botocore.
.emulator/ready: requirements/emulator.txt
	@$(INSTALL) $@ requirements/emulator.txt ministack
