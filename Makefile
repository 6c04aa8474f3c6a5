# What a person does with this checkout. Every target sets up first; a set-up that has nothing to do takes milliseconds.
PYTHON ?= python3
STACK ?= dev
RUN = .venv/bin/python

.PHONY: help setup setup-dev setup-test up preview down test check bench soak kills accept lock fuzz long

help:
	@echo 'make up       deploy the stack $(STACK) and check what runs (again: only what changed)'
	@echo 'make preview  what `make up` would change'
	@echo 'make down     end and delete all of it'
	@echo 'make setup    .venv and the Pulumi engine (`up` and `test` call it)'
	@echo 'make test     the tests; ARGS="-k cookie" is passed on'
	@echo 'make check    types, lint, format, imports'
	@echo 'make bench    the figures of bench/README.md'
	@echo 'make soak     the reference proxy over time and under faults; ARGS="reloads"'
	@echo 'make kills    the engine killed at 40 random points; ARGS="--points 2 --seed 7"'
	@echo 'make fuzz     bad input for every reader; ARGS="--format docker-labels --count 100000"'
	@echo 'make long     random documents through every pair of formats; ARGS="--count 100000"'
	@echo 'make accept   write the golden texts of tests/cases/ again'
	@echo 'make lock     write requirements.txt and what is locked in requirements/ again (needs pip-tools)'
	@echo
	@echo 'STACK=vm names another stack of stacks/; PYTHON=python3.12 another Python (3.11 or newer).'

setup:
	@$(PYTHON) tools/setup.py

setup-dev:
	@$(PYTHON) tools/setup.py --dev --with pulumi

setup-test:
	@$(PYTHON) tools/setup.py --dev

up preview down: setup
	@$(RUN) -m tools.stack $@ --stack $(STACK)

# A file to one worker: what starts real programs is started once, and some tests begin where those above them left off.
test: setup-test
	@$(RUN) -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

check:
	@$(PYTHON) tools/setup.py --dev --with ''
	$(RUN) -m mypy
	$(RUN) -m mypy tools
	$(RUN) -m ruff check
	$(RUN) -m ruff format --check
	.venv/bin/lint-imports

bench: setup-dev
	@$(RUN) -m bench $(ARGS)

soak: setup-dev
	@$(RUN) -m bench.soak $(ARGS)

kills: setup-test
	@$(RUN) -m tests.kills $(ARGS)

fuzz: setup-dev
	@$(RUN) -m tests.fuzz $(ARGS)

long: setup-dev
	@$(RUN) -m tests.fuzz.pairs $(ARGS)

accept: setup-dev
	@$(RUN) -m pytest tests/test_cases.py tests/test_docs.py tests/test_support_matrix.py tests/versions tests/proxy/raw tests/diff/test_page.py tests/verify/test_page.py --accept-cases $(ARGS)

lock: setup-dev
	@$(RUN) tools/lock.py $(ARGS)
