PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
PEERS := tests/peers/node_modules/.package-lock.json
VIEWER := viewer/node_modules/.package-lock.json

# pip compiles nothing here, so what is imported has to be kept compiled: where this is set, every program that
# a test starts would compile torch and transformers for itself.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help demo test check lint types imports bundles viewer notebooks format train peers clean

help: ## show these targets
	@sed -n 's/^\([a-z]*\):[^#]*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 18

demo: .venv/.demo ## explain a made-up record with the bundled model; writes demo.html and demo.json
	$(BIN)/whence demo

test: .venv/.dev peers $(VIEWER) ## run the tests on every core, README's code among them
	$(BIN)/pytest -n auto --dist worksteal

check: lint types imports bundles test ## all that CI runs: format, lint, types, layers, the viewer, tests

lint: .venv/.dev
	$(BIN)/ruff format --check
	$(BIN)/ruff check

types: .venv/.dev
	$(BIN)/mypy -n auto

imports: .venv/.dev
	$(BIN)/lint-imports --no-logo --no-cache

bundles: $(VIEWER)
	@if [ -d viewer/node_modules ]; then cd viewer && npm run --silent check; \
	  elif [ -n "$$CI" ]; then exit 1; fi

viewer: $(VIEWER) ## build the viewer's bundles, which ship in the package; needs npm
	cd viewer && npm run --silent build

notebooks: .venv/.dev ## run the widget in a real JupyterLab
	$(BIN)/pytest tests/viewer/test_widget.py

format: .venv/.dev ## format the code, and mend what ruff can mend
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

train: .venv/.dev ## train the bundled model again (two cores, about an hour)
	$(BIN)/python scripts/train_demo_model.py

peers: $(PEERS) ## install the servers that nobody here wrote, which the tests ask, too; needs npm

clean: ## remove what the tools and the demo left behind; keeps .venv
	rm -rf build dist demo.html demo.json
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests scripts benchmarks -name __pycache__ -prune -exec rm -rf {} +

# The environment. The stamps say that a set of packages is installed, until what it is made of changes.

# An older pip, as Python brings it, takes a minute and a half more over this many packages.
.venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Whence needs Python 3.11 or newer, and $(PYTHON) is: $$($(PYTHON) --version 2>&1)."; \
	  echo "Name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; } >&2
	$(PYTHON) -m venv $@ && $(PIP) install 'pip>=26' || { rm -rf $@; exit 1; }

.venv/.demo: pyproject.toml constraints.txt | .venv
	@echo 'Installing into .venv: a few minutes the first time.'
	$(PIP) install -c constraints.txt -e '.[huggingface]'
	@touch $@

.venv/.dev: pyproject.toml constraints.txt | .venv
	@echo 'Installing into .venv: a few minutes the first time.'
	$(PIP) install --no-compile -c constraints.txt -e '.[huggingface,ollama,claude,vertex,langchain,server,dev,lab]'
	# It asks for an older huggingface-hub than transformers does, and works with either.
	$(PIP) install -c constraints.txt --no-deps langchain-huggingface
	@touch .venv/.demo $@

# Without npm, or without the network, the tests that need it are skipped, and say why.
$(PEERS): tests/peers/package.json tests/peers/package-lock.json tests/peers/.npmrc
	@cd tests/peers && npm ci --loglevel=error && touch $(@:tests/peers/%=%) \
	  || echo 'The peers of the tests could not be installed: their tests are skipped.' >&2

$(VIEWER): viewer/package.json viewer/package-lock.json viewer/.npmrc
	@cd viewer && npm ci --loglevel=error && touch $(@:viewer/%=%) \
	  || echo 'What builds the viewer could not be installed: its bundles stay as they are, unchecked.' >&2
