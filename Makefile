# make run       an answer in two minutes: ten busy minutes of a campus grid with a flood in the middle
# make test      the whole suite, real servers included (installs what is missing, says so first)
# make extras    what real grids need besides: servers, and the Python packages of all extras
# make validate  the real-server part alone: predict, deploy, measure, compare
# make prove     the long proofs, those that are out of date (ONLY="name ...": these alone)
# make quotes    write what the stored proofs say into the docs, and list what changed
# make lint      style and types
# make notebooks  run all notebooks and write their outputs (ONLY="05 07": these alone)
# make lock      write requirements.lock anew from pyproject.toml

SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SERVERS := prosody prosody-modules lua-unbound ejabberd
TOOLS := tsung go-sendxmpp tcpdump strace chromium
# Tests that measure have the machine to themselves. Those that compute share its cores, and so do,
# apart from them, those that deploy servers and look at what is done, not at how fast.
MEASURED := tests/validation $(patsubst %,tests/loadtest/test_%.py,asking bench capture development engine \
	herd honesty limit_probe login_pilot observation pacer punctuality server_limits spinner)
DEPLOYED := tests/loadtest $(MEASURED:%=--ignore=%)
COMPUTED := tests --ignore=tests/loadtest --ignore=tests/validation
SPLIT := \# ---- with the extras

.PHONY: run extras test prove quotes validate lint kernels notebooks lock servers clean help

help:
	@sed -n 's/^# make /make /p' Makefile

$(VENV)/.base: requirements.lock pyproject.toml
	@echo "Making $(VENV) (Python packages of requirements.lock, about a minute the first time)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@sed '/^$(SPLIT)/,$$d' requirements.lock > $(VENV)/base.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/base.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.full: $(VENV)/.base
	@echo "Adding the packages of the extras load, cluster, notebooks and dev"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@touch $@

run: $(VENV)/.base
	@$(BIN)/gridlab simulate campus-nac --report report.html

extras: $(VENV)/.full
	@PACKAGES="$(SERVERS)" .ci/servers

servers:
	@PACKAGES="$(SERVERS) $(TOOLS)" .ci/servers

test:
	@$(MAKE) --no-print-directory -j 2 servers $(VENV)/.full
	@$(MAKE) --no-print-directory -j 2 lint kernels
	@$(BIN)/python -m pytest -n 2 --dist loadfile $(COMPUTED)
	@$(BIN)/python -m pytest -n 3 --dist loadfile $(DEPLOYED)
	@$(BIN)/python -m pytest $(MEASURED)

kernels: $(VENV)/.full
	@echo "Compiling the simulator's kernels (a minute or two the first time)"
	@for server in prosody-0.12 ejabberd-23 fifo-sketch; do \
		$(BIN)/gridlab simulate single-broker --set controllers[0].profile=$$server \
		--replications 1 --out .pytest_cache/warm >/dev/null; done

prove: servers $(VENV)/.full
	@PYTHONPATH=. $(BIN)/python tests/prove.py $(ONLY)

quotes: $(VENV)/.full
	@PYTHONPATH=. $(BIN)/python tests/quoting.py

lint: $(VENV)/.full
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

notebooks: $(VENV)/.full
	@$(BIN)/python tests/execution.py $(ONLY)

validate: extras
	@$(BIN)/gridlab validate single-broker --report validate.html

lock:
	@.ci/lock

clean:
	rm -rf $(VENV) build dist *.egg-info report.html validate.html
