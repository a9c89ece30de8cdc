# Everything a newcomer needs. `make help` lists it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# An empty environment has no HOME for pip's cache; that is fine.
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
CATALOGUES := $(patsubst %.po,%.mo,$(wildcard campaigns/translations/*/LC_MESSAGES/messages.po))
# Two more than there are processors, for many tests wait for processes; at most eight browsers at once.
WORKERS ?= $(shell n=$$(getconf _NPROCESSORS_ONLN); expr $$(( n < 6 ? n : 6 )) + 2)
RECIPIENTS ?= 20000

# Where it is set, as in many containers, each of the processes started here would compile all of our files anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo run install drill test bench check lint format types vendor translations clean

help: ## List what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.ready $(CATALOGUES) ## Send an announcement to 2,000 demo users and watch it arrive (ONCE=1: stop after the totals)
	@exec $(BIN)/python -m campaigns.ops.up --demo $(if $(filter-out 0,$(ONCE)),--once) $(if $(filter-out 0,$(FLOWER)),--flower)

run: $(VENV)/.ready $(CATALOGUES) ## Start the site, its workers and what they need; Ctrl-C stops all (FLOWER=1: with Flower)
	@exec $(BIN)/python -m campaigns.ops.up $(if $(filter-out 0,$(FLOWER)),--flower)

install: $(VENV)/.ready $(CATALOGUES) ## Put in place what a server runs (deploy/README.md), without starting anything
	@$(BIN)/python -m compileall -q app.py celery_worker.py campaigns

drill: $(VENV)/.ready $(CATALOGUES) ## Break everything while a campaign is sent, and prove that it adds up (ARGS="--seed 7 --recipients 3000")
	@exec $(BIN)/python -m flask --app app drill $(ARGS)

# Thousands of tests start processes on a busy machine. A few that fail are tried once more, and shown with what went
# wrong at first.
TRY_AGAIN := --reruns 1 --max-suite-reruns 5 --rerun-show-tracebacks

test: $(VENV)/.ready-dev $(CATALOGUES) ## Run every test
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TRY_AGAIN) $(ARGS)

bench: $(VENV)/.ready $(CATALOGUES) ## Measure the speed beside other ways (RECIPIENTS=20000; ALL=1: every measure)
	@$(BIN)/python -m bench --recipients $(RECIPIENTS) $(if $(filter-out 0,$(ALL)),--all) $(ARGS)

check: lint types test ## Everything that must be right: format, lint, types, tests

lint: $(VENV)/.ready-dev ## Check format and lint
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .

format: $(VENV)/.ready-dev ## Format the code, and mend what the linter can
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

types: $(VENV)/.ready-dev ## Check the types
	@$(BIN)/mypy

translations: $(VENV)/.ready ## Put new strings into the catalogues, take old ones out, and compile them
	@$(BIN)/pybabel --quiet extract --mapping-file campaigns/translations.cfg --no-location --sort-output \
	  -k _l -k lazy_gettext -k ngettext:1,2 -k lazy_ngettext:1,2 --output-file $(VENV)/messages.pot .
	@$(BIN)/pybabel --quiet update --input-file $(VENV)/messages.pot --output-dir campaigns/translations \
	  --no-fuzzy-matching --ignore-obsolete --ignore-pot-creation-date --width 120
	@$(BIN)/pybabel --quiet compile --directory campaigns/translations

vendor: ## Refresh static/vendor from its pinned packages (needs Node)
	npm run vendor

clean: ## Remove what was built; data in instance/ stays
	rm -rf $(VENV) node_modules .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
	rm -f campaigns/translations/*/LC_MESSAGES/messages.mo

# The stamps are newer than the requirements exactly when what is installed is what they ask for.
$(VENV)/.ready: requirements.txt constraints.txt | $(VENV)/bin/python
	@echo "Installing what Carillon runs on (once)"
	@$(PIP) install -r requirements.txt -c constraints.txt
	@touch $@

$(VENV)/.ready-dev: requirements-dev.txt $(VENV)/.ready
	@echo "Installing what the tests and checks need (once)"
	@$(PIP) install -r requirements-dev.txt -c constraints.txt
	@touch $@

$(VENV)/bin/python:
	@command -v $(PYTHON) >/dev/null || { echo "Carillon needs Python 3.11 or newer; '$(PYTHON)' was not found." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Carillon needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Name another: make PYTHON=python3.12 …" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "Python's venv module is missing. On Debian and Ubuntu: sudo apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)

%.mo: %.po | $(VENV)/.ready
	@$(BIN)/pybabel --quiet compile --input-file $< --output-file $@
