# Works with GNU make and BSD make; recipes are plain POSIX sh.
# `make run` and `make test` set everything up by themselves; PYTHON=python3.12 chooses another interpreter.
PYTHON = python3
VENV = .venv
BIN = $(VENV)/bin
STAMP = $(VENV)/.installed
UV_VERSION = 0.13.9
CPU_THREADS = OMP_NUM_THREADS=1
LMMS = .venv-lmms
LMMS_STAMP = $(LMMS)/.installed

RECIPE = mini

.PHONY: help run test test-long test-lmms lmms-env lint lock setup clean images e2e-docker audit

help:
	@echo "make run    install (once), run the whole pipeline on the bundled data, show the result"
	@echo "make test   install (once), run all tests"
	@echo "make test-long    also those that take more of the same: more random schedules, whole runs killed"
	@echo "make lmms-env     an environment of its own for lmms-eval over our checkpoints (see model/lmms_eval)"
	@echo "make test-lmms    the tests that run lmms-eval itself there"
	@echo "make lint   formatting, lint and types"
	@echo "make lock   resolve requirements.lock and containers/lmms-eval.lock anew from pyproject.toml"
	@echo "make audit  known vulnerabilities of the locked packages"
	@echo "make images BASE_IMAGE=NAME@sha256:DIGEST    build the container images and their SBOMs"
	@echo "make e2e-docker [RECIPE=tiny]    the whole pipeline in those containers, storage on a real S3 server"
	@echo "make clean  remove the environment and all generated files but artifacts/"

run: $(STAMP)
	$(BIN)/aerie run

test: $(STAMP)
	$(CPU_THREADS) $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder
	@echo "Left out: runs in containers (make e2e-docker), of lmms-eval (make test-lmms) and those marked long (make test-long)."

test-long: $(STAMP)
	$(CPU_THREADS) $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m long

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

setup: $(STAMP)

# The stamp is newer than the lock and the project file exactly when the environment agrees with them.
$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' || { \
	  echo "Aerie needs Python 3.11, 3.12 or 3.13, found: `$(PYTHON) --version 2>&1`."; \
	  echo "Install one and name it: make PYTHON=python3.12 run"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "This Python can't create virtual environments."; \
	  echo "On Debian or Ubuntu: sudo apt install python3-venv"; exit 1; }
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)
	$(BIN)/uv pip install --python $(BIN)/python --compile-bytecode -r requirements.lock
	$(BIN)/uv pip install --python $(BIN)/python --no-deps -e .
	@touch $(STAMP)

# lmms-eval's pins don't fit ours, so it has an environment and a lock of its own.
lmms-env: $(LMMS_STAMP)

$(LMMS_STAMP): containers/lmms-eval.lock pyproject.toml $(STAMP)
	test -x $(LMMS)/bin/python || $(PYTHON) -m venv $(LMMS)
	$(BIN)/uv pip install --python $(LMMS)/bin/python --compile-bytecode -r containers/lmms-eval.lock
	$(BIN)/uv pip install --python $(LMMS)/bin/python --no-deps -e .
	@touch $(LMMS_STAMP)

test-lmms: $(LMMS_STAMP)
	AERIE_LMMS_PYTHON=$(LMMS)/bin/python $(CPU_THREADS) $(BIN)/python -m pytest tests/model/test_lmms_eval.py \
	  tests/model/test_lmms_eval_run.py

# The second lock starts from the first, whose versions stay where lmms-eval allows them.
lock: $(STAMP)
	$(BIN)/uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --output-file requirements.lock
	cp requirements.lock containers/lmms-eval.lock
	$(BIN)/uv pip compile pyproject.toml --extra lmms --universal --python-version 3.11 \
	  --output-file containers/lmms-eval.lock

audit: $(STAMP)
	sh containers/audit.sh $(BIN) $(AUDIT)

images:
	BASE_IMAGE='$(BASE_IMAGE)' sh containers/build.sh

e2e-docker: $(STAMP)
	BASE_IMAGE='$(BASE_IMAGE)' sh containers/e2e.sh $(BIN)/python $(RECIPE)

clean:
	rm -rf $(VENV) $(LMMS) build .pytest_cache .ruff_cache .mypy_cache *.egg-info
