# make table1 ARGS="--quick"     make test ARGS="-k steps"     make lab
PYTHON := $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
METADATA := settings.ini setup.py pyproject.toml

.PHONY: table1 test lab notebooks readme
.DELETE_ON_ERROR:

table1: .venv/.installed
	$(BIN)/mammo_uda table1 $(ARGS)

test: .venv/.installed-dev
	OMP_NUM_THREADS=1 $(BIN)/nbdev-test --n-workers 2
	$(BIN)/python -m pytest $(ARGS)

lab: .venv/.installed-lab
	$(BIN)/jupyter lab --notebook-dir nbs $(ARGS)

# make notebooks NB=nbs/data/store.ipynb     executes notebooks in place, as they are committed
NB := $(shell find nbs -name '*.ipynb' -not -path '*/.*')
notebooks: .venv/.installed-dev
	OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore $(BIN)/jupyter nbconvert --log-level WARN --to notebook --execute --inplace $(NB)
	$(BIN)/nbdev-clean

# GitHub shows README.md from the top folder, the notebook lies in nbs/
readme: .venv/.installed-dev
	$(BIN)/jupyter nbconvert --log-level WARN --to markdown --output-dir . --output README nbs/index.ipynb
	sed -i 's|](images/|](nbs/images/|' README.md

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/.installed: $(METADATA) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.installed-%: $(METADATA) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@
