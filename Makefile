# `make` prints the targets. Needs git, GNU make (3.81 or newer) and Python 3.11 to 3.13; works on Linux and macOS.
#
# The environment .venv is built in four steps. A step that has succeeded leaves a stamp in .venv, named after what it
# installed, and is not repeated until that changes; a step that fails is named, and the next `make` continues with it.
# pip's own settings (PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_CACHE_DIR, ...) are respected.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory

# What a user may set: make run STUDY=demo OVERRIDES="seed=range(0,12)" CORES=2 ARGS="--keep-going", or all of it in one
# as make run SETTINGS="study=demo seed=range(0,12)"; make test PYTEST_ARGS="-k stats"
PYTHON ?= python3
SETTINGS ?=
STUDY ?= $(or $(patsubst study=%,%,$(filter study=%,$(SETTINGS))),demo)
OVERRIDES ?= $(strip $(filter-out study=%,$(SETTINGS)))
CORES ?= all
PORT ?= 5000
ARGS ?=
PYTEST_ARGS ?= -n 2 --dist worksteal
TRIALS ?= 50
SEED ?= 0
BENCHMARKS ?= startup seeds limit peers scale earthquake

VENV := .venv
BIN := $(VENV)/bin
# Rules of the workflow call `notafluke`, so the environment comes first on PATH.
WITH_VENV := PATH="$(CURDIR)/$(BIN):$$PATH"
DATABASE := sqlite:///results/mlflow.db
# An address may hold a password, which is for no screen, log or list of processes.
SHOWN_URI = $(BIN)/python -c 'import os; from notafluke.redaction import redact; print(redact(os.environ["MLFLOW_TRACKING_URI"]))'

# A small file system that can be filled needs root, or a namespace of one's own in which one is root.
MOUNTING = $(shell [ "$$(id -u)" = 0 ] || ! unshare --user --map-root-user --mount true 2> /dev/null || \
	echo unshare --user --map-root-user --mount)

# A stamp is named after what its step installed, the first one after the place of the checkout.
TORCH := $(shell sed -n 's/^\(torch==[0-9.]*\).*/\1/p' requirements.lock)
id = $(shell cat $(1) | cksum | cut -d ' ' -f 1)
STAMP_1 := $(VENV)/.step-1-$(shell pwd -P | cksum | cut -d ' ' -f 1)
STAMP_2 := $(VENV)/.step-2-$(subst ==,-,$(TORCH))
STAMP_3 := $(VENV)/.step-3-$(call id,requirements.lock)
STAMP_4 := $(VENV)/.step-4-$(call id,pyproject.toml)

# ---- what to do -------------------------------------------------------------------------------------------------------

.PHONY: help
help: ## print this list
	@echo "notafluke: which of your ideas really help?"
	@echo
	@awk 'BEGIN { FS = ":.*## " } /^[a-z][a-z-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo
	@echo "  The first call builds .venv (a few minutes, 2 GB). Settings: PYTHON=python3.12 STUDY=demo CORES=2 PORT=5000"
	@echo "  ARGS=\"...\" (for snakemake, or uv with make lock), PYTEST_ARGS=\"...\""

.PHONY: run
run: install ## train the study, decide its claims and print the verdicts (SETTINGS="study=demo seed=range(0,12)")
	@$(WITH_VENV) $(BIN)/snakemake --cores $(CORES) $(ARGS) --config study=$(STUDY) overrides="$(OVERRIDES)" || { \
		code=$$?; $(BIN)/notafluke unlock --check >&2; exit $$code; }
	@$(if $(filter -n --dry-run --dryrun,$(ARGS)),:,$(WITH_VENV) $(BIN)/notafluke show $(STUDY) --overrides="$(OVERRIDES)")

.PHONY: unlock
unlock: install ## remove the lock of a snakemake that was killed (refused while one works here)
	@$(WITH_VENV) $(BIN)/notafluke unlock

.PHONY: test
test: lint ## lint, then run all tests (PYTEST_ARGS="...")
	@$(WITH_VENV) $(BIN)/python -m pytest $(PYTEST_ARGS)

.PHONY: lint
lint: install ## check style, types and the workflow, change nothing
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(MAKE) --no-print-directory -j 2 lint-types lint-workflow

.PHONY: lint-types
lint-types: install ## check types alone
	@$(BIN)/mypy

.PHONY: lint-workflow
lint-workflow: install ## check the workflow alone
	@$(BIN)/snakefmt --check Snakefile workflow
	@$(WITH_VENV) $(BIN)/snakemake --lint

.PHONY: format
format: install ## rewrite the sources in the project's style
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .
	@$(BIN)/snakefmt Snakefile workflow

.PHONY: ui
ui: install ## open the MLflow UI on all recorded runs (PORT=5000; MLFLOW_TRACKING_URI is respected)
	@uri="$${MLFLOW_TRACKING_URI:-$(DATABASE)}"; \
	case "$$uri" in \
	http://*|https://*) \
		echo "MLFLOW_TRACKING_URI names a running server, open it in a browser: $$($(SHOWN_URI))"; exit 0 ;; \
	$(DATABASE)) \
		[ -e results/mlflow.db ] || [ -d results/runs ] || { \
			echo "no runs yet: results/mlflow.db is made by 'make run'" >&2; exit 1; } ;; \
	esac; \
	$(BIN)/notafluke track init || exit; \
	echo "MLflow UI: http://127.0.0.1:$(PORT) (stop with Ctrl-C)"; \
	MLFLOW_BACKEND_STORE_URI="$$uri" exec $(BIN)/mlflow ui --host 127.0.0.1 --port $(PORT)

.PHONY: lock
lock: ## resolve requirements.lock again, needs uv (ARGS=--upgrade for newer versions)
	@PATH="$$PATH:$(CURDIR)/$(BIN)"; command -v uv > /dev/null || { \
		echo "make lock needs uv: install it with 'pip install uv'" >&2; exit 1; }; \
	tmp="requirements.lock.new"; trap 'rm -f "$$tmp" "$$tmp.2"' EXIT; \
	grep -v '^#' requirements.lock > "$$tmp"; \
	uv pip compile pyproject.toml --extra dev --universal --python-version 3.11 --no-header --no-annotate \
		--quiet $(ARGS) --output-file "$$tmp" > /dev/null && \
	{ grep '^#' requirements.lock; cat "$$tmp"; } > "$$tmp.2" && mv "$$tmp.2" requirements.lock && \
	echo "requirements.lock: $$(grep -c '==' requirements.lock) packages"

.PHONY: figures
figures: install ## draw the figures of docs/ again
	@$(WITH_VENV) $(BIN)/python -m notafluke.report.loss_family docs/figures

.PHONY: calibration
calibration: install ## measure how often the verdicts are wrong, with docs/calibration.md (an hour; continues where it stopped)
	@$(BIN)/python benchmarks/calibration.py --workers 2
	@$(WITH_VENV) $(BIN)/python benchmarks/aa_training.py

.PHONY: torture
torture: install ## inject faults into trainings, with docs/reliability.md (an hour; TRIALS=50 SEED=0)
	@$(WITH_VENV) $(MOUNTING) $(BIN)/python benchmarks/torture.py --trials $(TRIALS) --seed $(SEED)

.PHONY: bench
bench: install ## measure how fast it is, with docs/performance.md (half an hour; nothing else should work meanwhile)
	@begin=$$(date +%s); for part in $(BENCHMARKS); do \
		echo "---- $$part"; \
		$(WITH_VENV) $(BIN)/python benchmarks/$$part.py || { echo "bench: $$part failed" >&2; exit 1; }; \
	done; echo "---- all parts: $$(( $$(date +%s) - begin )) s"

.PHONY: bench-guard
bench-guard: install ## measure the quick parts and compare their ratios with the stored ones (a few minutes)
	@$(WITH_VENV) $(BIN)/python benchmarks/guard.py

.PHONY: clean
clean: ## remove .venv and caches; results/ stays
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist src/*.egg-info
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
	@echo "results/ and .snakemake/ were kept (make clean-results removes them)"

.PHONY: clean-results
clean-results: ## remove every result, after asking (results/README.md stays)
	@printf 'Delete everything in results/, trained runs included? [y/N] '; read answer || answer=n; \
	case "$$answer" in y|Y|yes) ;; *) echo "nothing deleted"; exit 1 ;; esac; \
	find results/ -mindepth 1 -maxdepth 1 ! -name README.md -exec rm -rf {} +; rm -rf .snakemake; echo "deleted"

# ---- the environment, in four steps -----------------------------------------------------------------------------------

# A personal pip setting that would install outside .venv must not hold here.
PIP := PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 $(BIN)/python -m pip install

# $(call step,number,what is installed,how long it takes,command): say it, do it with a log file, leave the stamp $@
define step
	@printf 'installation, step $(1) of 4: $(2) ($(3)) ...\n'; \
	rm -f $(VENV)/.step-$(1)-*; begin=$$(date +%s); \
	if { $(4); } > $(VENV)/install-$(1).log 2>&1; then \
		touch "$@"; printf '    done in %s s\n' $$(( $$(date +%s) - begin )); \
	else \
		grep -v '^ *$$' $(VENV)/install-$(1).log | tail -n 5 | sed 's/^/    | /' >&2; \
		printf '%s\n' "installation failed at step $(1) of 4: $(2); see $(VENV)/install-$(1).log;" \
			"run the same command again to continue with this step" | paste -s -d ' ' - >&2; \
		exit 1; \
	fi
endef

.PHONY: install
install: $(STAMP_4) ## build or update .venv, without running anything

# An environment that is there and works is kept; one that was moved, or whose Python is gone, is made anew.
$(STAMP_1):
	@if $(BIN)/python -c 'import pip' > /dev/null 2>&1 && head -n 3 $(BIN)/pip | grep -qF "$(CURDIR)/$(VENV)/"; then :; \
	else \
		command -v "$(PYTHON)" > /dev/null 2>&1 || { \
			echo "notafluke needs Python 3.11 to 3.13: $(PYTHON) was not found; name one: make PYTHON=python3.12" >&2; exit 1; }; \
		"$(PYTHON)" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
			echo "notafluke needs Python 3.11 to 3.13, but $(PYTHON) is" \
				"$$("$(PYTHON)" --version 2>&1); name another: make PYTHON=python3.12" >&2; exit 1; }; \
		rm -rf $(VENV); \
	fi; mkdir -p $(VENV)
	$(call step,1,virtual environment $(VENV),seconds,[ -x $(BIN)/pip ] || "$(PYTHON)" -m venv $(VENV))

# Torch comes first and alone: it is the largest part, and with its exact version installed nothing asks for another build.
$(STAMP_2): $(STAMP_1)
	$(call step,2,$(TORCH),about 1 minute,$(PIP) --constraint requirements.lock $(TORCH))

$(STAMP_3): $(STAMP_2)
	$(call step,3,the packages of requirements.lock,1-3 minutes,$(PIP) --requirement requirements.lock)

$(STAMP_4): $(STAMP_3)
	$(call step,4,notafluke itself,seconds,$(PIP) --no-deps --no-build-isolation --editable .)
	@echo "installation complete"
