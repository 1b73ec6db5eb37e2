# make table1 ARGS="--quick"     make test ARGS="-k steps"     make lab
PYTHON := $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
METADATA := settings.ini setup.py pyproject.toml
# A kernel that is stopped does not tidy up, and a run of the experiment is over 1 GB
SCRATCH := export TMPDIR=$$(mktemp -d) && trap "rm -rf $$TMPDIR" EXIT &&

.PHONY: table1 test lab docs notebooks readme wheel
.DELETE_ON_ERROR:

table1: .venv/.installed
	$(BIN)/mammo_uda table1 $(ARGS)

test: .venv/.installed-dev
	$(SCRATCH) OMP_NUM_THREADS=1 $(BIN)/nbdev-test --n-workers 2
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lab: .venv/.installed-lab
	$(BIN)/jupyter lab --notebook-dir nbs $(ARGS)

# The site, in docs/_build; it shows notebooks as they were committed and runs none of them
docs: .venv/.installed-docs
	rm -rf docs/_build docs/jupyter_execute
	PYTHONWARNINGS=ignore $(BIN)/sphinx-build --quiet --fail-on-warning --keep-going -c docs nbs docs/_build

# make notebooks NB=nbs/data/store.ipynb     executes notebooks in place, as they are committed
NB := $(shell find nbs -name '*.ipynb' -not -path '*/.*')
notebooks: .venv/.installed-dev
	$(SCRATCH) OMP_NUM_THREADS=1 PYTHONWARNINGS=ignore $(BIN)/jupyter nbconvert --log-level WARN --to notebook --execute --ExecutePreprocessor.store_widget_state=False --inplace $(NB)
	$(BIN)/nbdev-clean

# GitHub shows README.md from the top folder, the notebook lies in nbs/
readme: .venv/.installed-dev
	$(BIN)/jupyter nbconvert --log-level WARN --to markdown --output-dir . --output README nbs/index.ipynb
	sed -i 's|](images/|](nbs/images/|' README.md

# sdist and wheel into dist/; the wheel alone makes Table 1, outside this folder, in an environment that borrows only the libraries of .venv: torch twice is 6 GB
wheel: .venv/.installed-dev
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(SCRATCH) dir=$$TMPDIR/wheel && $(PYTHON) -m venv --without-pip $$dir && \
	$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' > $$($$dir/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/libraries.pth && \
	$(BIN)/python -m pip --python $$dir/bin/python install --quiet --no-deps --no-index --force-reinstall dist/*.whl && \
	cd $$dir && bin/python -c 'import mammo_uda, sys; assert mammo_uda.__file__.startswith(sys.prefix)' && bin/mammo_uda table1 --tiny --out run && test -s run/index.html

$(BIN)/python:
	$(PYTHON) -m venv .venv

.venv/.installed: $(METADATA) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable .
	touch $@

.venv/.installed-%: $(METADATA) | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable '.[$*]'
	touch $@
