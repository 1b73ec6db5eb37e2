"What is in settings.ini reaches everyone who installs the package"
import ast, hashlib, json, os, re, shutil, subprocess, sys, tarfile, tomllib
from configparser import ConfigParser
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path

import pytest
from nbconvert import MarkdownExporter

import mammo_uda

root = Path(__file__).parent.parent
config = ConfigParser()
config.read(root/'settings.ini')
cfg = config['DEFAULT']
project = tomllib.loads((root/'pyproject.toml').read_text())

# what a keyword of setup() is called in pyproject.toml
PYPROJECT_NAMES = dict(version=['version'], description=['description'], long_description=['readme'], long_description_content_type=['readme'],
    keywords=['keywords'], author=['authors'], license_expression=['license'], classifiers=['classifiers'],
    python_requires=['requires-python'], install_requires=['dependencies'], extras_require=['optional-dependencies'],
    entry_points=['scripts', 'entry-points'], packages=[], package_data=[])

def run(*args, cwd, **env):
    res = subprocess.run([str(o) for o in args], cwd=cwd, env=os.environ | env, capture_output=True, text=True)
    assert res.returncode == 0, res.stdout + res.stderr
    return res.stdout.strip()

@pytest.fixture(scope='module')
def installed(tmp_path_factory):
    "The folder that an sdist of this project was installed into"
    tmp = tmp_path_factory.mktemp('sdist')
    names = 'settings.ini setup.py pyproject.toml MANIFEST.in README.md CHANGELOG.md CONTRIBUTING.md LICENSE'.split()
    source = tmp/'source'
    for name in ('mammo_uda', 'nbs', 'tests'): shutil.copytree(root/name, source/name, ignore=shutil.ignore_patterns('__pycache__'))
    for name in names: shutil.copy(root/name, source)
    run(sys.executable, '-m', 'build', '--sdist', '--no-isolation', '--outdir', tmp/'dist', source, cwd=tmp)
    sdist, = (tmp/'dist').glob('*.tar.gz')
    run(sys.executable, '-m', 'pip', 'install', '--no-deps', '--no-build-isolation', '--no-index', '--target', tmp/'site', sdist, cwd=tmp)
    return tmp/'site'

def test_sdist_installs_and_knows_its_version(installed):
    code = 'import mammo_uda, mammo_uda.cli; print(mammo_uda.__version__, mammo_uda.__file__)'
    version, file = run(sys.executable, '-c', code, cwd=installed.parent, PYTHONPATH=str(installed)).split(' ', 1)
    assert version == cfg['version']
    assert Path(file).is_relative_to(installed)

def test_what_is_installed_is_the_package_and_nothing_else(installed):
    def files(folder): return {o.relative_to(folder) for o in folder.rglob('*') if o.is_file() and o.suffix != '.pyc'}
    assert files(installed/'mammo_uda') == files(root/'mammo_uda')
    assert Path('py.typed') in files(installed/'mammo_uda')
    assert {o.name.split('-')[0] for o in installed.iterdir()} == {'mammo_uda', 'bin'}

def test_sdist_holds_what_a_contributor_reads(installed):
    sdist, = (installed.parent/'dist').glob('*.tar.gz')
    with tarfile.open(sdist) as f: names = {Path(o).name for o in f.getnames()}
    assert {'README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'LICENSE', 'settings.ini'} <= names

def test_metadata_is_that_of_settings(installed):
    meta, = (o/'METADATA' for o in installed.glob('mammo_uda-*.dist-info'))
    lines = meta.read_text().splitlines()
    for line in (f"Summary: {cfg['description']}", f"Requires-Python: >={cfg['min_python']}", f"License-Expression: {cfg['license']}",
                 *(f'Provides-Extra: {o}' for o in ('lab', 'dev', 'docs')), *(f'Requires-Dist: {o}' for o in cfg['requirements'].split())):
        assert line in lines
    assert not [o for o in lines if o.startswith('Classifier: License')]
    entry_points = next(installed.glob('mammo_uda-*.dist-info/entry_points.txt')).read_text()
    assert 'mammo_uda = mammo_uda.console:main' in entry_points and 'mammo_uda = mammo_uda._modidx:d' in entry_points

def test_this_environment_has_the_version_of_settings():
    assert distribution('mammo_uda').version == mammo_uda.__version__ == cfg['version'], 'run `make test`: it installs the new metadata'

def test_unknown_attribute_is_an_attribute_error():
    with pytest.raises(AttributeError, match='no_such_thing'): mammo_uda.no_such_thing

def test_pyproject_names_what_setup_gives():
    call, = (o for o in ast.walk(ast.parse((root/'setup.py').read_text())) if isinstance(o, ast.Call) and getattr(o.func, 'id', '') == 'setup')
    given = {name for keyword in call.keywords for name in PYPROJECT_NAMES[keyword.arg]}
    assert given == set(project['project']['dynamic'])
    assert project['project']['name'] == cfg['lib_name']

def test_nbdev_leaves_version_and_pyproject_alone():
    assert project['tool']['nbdev'] == dict(put_version_in_init=False, update_pyproject=False)

def test_the_only_licence_is_apache_2():
    licences = {o.name for pattern in ('LICEN*', 'COPYING*', 'NOTICE*') for o in root.glob(pattern)}
    assert licences == {'LICENSE'}
    standard = 'cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30' # www.apache.org/licenses/LICENSE-2.0.txt
    assert hashlib.sha256((root/'LICENSE').read_bytes()).hexdigest() == standard

def test_requirements_are_minimum_versions():
    for key in [key for key in cfg if key.endswith('requirements')]:
        assert all('>=' in o and '==' not in o for o in cfg[key].split())

def test_what_an_extra_installs_is_there_for_the_tests():
    "A test of it would be skipped"
    for extra in ('timm', 'weights'): assert set(cfg[f'{extra}_requirements'].split()) <= set(cfg['dev_requirements'].split())

def test_requirements_cover_all_imports():
    imported = set()
    for path in (root/'mammo_uda').rglob('*.py'):
        for o in ast.walk(ast.parse(path.read_text())):
            if isinstance(o, ast.Import): imported |= {a.name.split('.')[0] for a in o.names}
            if isinstance(o, ast.ImportFrom) and not o.level: imported.add(o.module.split('.')[0])
    packages = dict(IPython='ipython', PIL='pillow', skimage='scikit-image', sklearn='scikit-learn')
    required = {o.split('>=')[0] for key in ('requirements', 'timm_requirements') for o in cfg[key].split()}
    assert {packages.get(o, o) for o in imported - set(sys.stdlib_module_names)} <= required | {'mammo_uda'}

def loaded_by(code):
    "Modules that are loaded after running `code` in a fresh process"
    return set(run(sys.executable, '-c', f'{code}; import sys; print(*sys.modules)', cwd=root).split('\n')[-1].split())

def test_import_loads_nothing_heavy():
    assert not {'torch', 'fastai', 'pandas', 'numpy', 'importlib.metadata'} & loaded_by('import mammo_uda')

def test_help_loads_nothing_heavy():
    assert not {'torch', 'fastai', 'pandas', 'numpy'} & loaded_by("from mammo_uda.cli import app; app(['--help'], standalone_mode=False)")

def test_what_reads_files_in_processes_of_its_own_loads_neither_torch_nor_pandas():
    assert not {'torch', 'fastai', 'pandas', 'sklearn'} & loaded_by('import mammo_uda.data.standardise')

@pytest.mark.parametrize('path', sorted((root/'nbs').rglob('*.ipynb')), ids=lambda o: o.stem)
def test_a_notebook_has_one_title_small_outputs_and_no_paths_in_them(path):
    assert path.stat().st_size < 200_000
    cells = json.loads(path.read_text())['cells']
    markdown = [''.join(c['source']) for c in cells if c['cell_type'] == 'markdown']
    prose = re.sub(r'^```.*?^```', '', '\n\n'.join(markdown), flags=re.M | re.S)
    assert re.findall('^# ', prose, re.M) == ['# '] and markdown[0].startswith('# ')
    outputs = json.dumps([c.get('outputs') for c in cells])
    assert not re.search(r'/(root|tmp|work|home|Users)/', outputs) and '"output_type": "error"' not in outputs

def test_readme_is_the_index_notebook():
    readme, _ = MarkdownExporter().from_filename(str(root/'nbs'/'index.ipynb'))
    assert readme.replace('](images/', '](nbs/images/').strip() == (root/'README.md').read_text().strip(), 'run `make readme`'

def public_functions(body, inside=''):
    for o in body:
        if isinstance(o, ast.ClassDef) and not o.name.startswith('_'): yield from public_functions(o.body, f'{o.name}.')
        if isinstance(o, ast.FunctionDef) and (not o.name.startswith('_') or o.name == '__init__'): yield inside + o.name, o

@pytest.mark.parametrize('path', sorted((root/'mammo_uda').rglob('*.py')), ids=lambda o: f'{o.parent.name}-{o.stem}')
def test_parameters_have_types(path):
    "The package says that it is typed"
    for name, o in public_functions(ast.parse(path.read_text()).body):
        bare = [a.arg for a in o.args.posonlyargs + o.args.args + o.args.kwonlyargs if not a.annotation and a.arg not in ('self', 'cls')]
        assert not bare, f'{name} does not say what {bare} are'

def test_what_a_person_types_is_about_a_hundred_names():
    imports = [o for o in ast.parse((root/'mammo_uda'/'all.py').read_text()).body if isinstance(o, ast.ImportFrom)]
    names = [name.name for o in imports for name in o.names]
    assert 80 < len(names) == len(set(names)) < 130
    for o in imports: assert {name.name for name in o.names} <= set(import_module(o.module).__all__), o.module

def long_lines(path):
    "Lines of exported code over 120 characters; how `__all__` is wrapped is nbdev's affair"
    code = re.sub(r'^__all__ = \[.*?\]$', '', path.read_text(), flags=re.M | re.S)
    return [line for line in code.splitlines() if len(line) > 120]

@pytest.mark.parametrize('path', sorted(set((root/'mammo_uda').rglob('*.py')) - {root/'mammo_uda'/'_modidx.py'}),
                         ids=lambda o: f'{o.parent.name}-{o.stem}')
def test_no_line_has_to_be_unfolded(path): assert not long_lines(path)
