"A run folder, a store or a model from someone else: it is refused in one sentence, or read, and then nothing in it runs, escapes or takes the memory"
import ast, json, os, pickle, re, shutil, subprocess, sys
from functools import wraps
from html.parser import HTMLParser
from pathlib import Path

import numpy as np, pandas as pd, pytest, torch
from PIL import Image
from pydicom.uid import ExplicitVRLittleEndian
from typer.testing import CliRunner

from codings import film, header, save_dicom
from mammo_uda.classify.learner import CLASSIFIER, load_classifier, save_classifier
from mammo_uda.classify.networks import make_net
from mammo_uda.cli import app
from mammo_uda.core.checked import read_json
from mammo_uda.core.files import UserError
from mammo_uda.data.describe import describe
from mammo_uda.data.store import PixelStore
from mammo_uda.evaluate.scores import read_scores, synthetic_scores, write_scores
from mammo_uda.evaluate.table1 import Table1
from mammo_uda.experiment.audit import audit_page, audit_run
from mammo_uda.experiment.report import make_report, read_manifest, sample_run
from mammo_uda.experiment.settings import choose_settings, claim_folder
from mammo_uda.experiment.table1 import run_table1
from mammo_uda.experiment.trainings import read_training
from mammo_uda.translate import translator as translators
from mammo_uda.translate.networks import Generator
from mammo_uda.translate.translator import Translator, load_translator, save_translator
from mammo_uda.view.browser import Browser
from mammo_uda.view.twins import write_twins

MARKUP = '../../escaped<b onmouseover=alert(1)>"\'</script><!--[/b]|$\\frac{'
HOSTILE = [MARKUP, 'two\nlines\x1b[2J\u2028', '=1+1']
WRONG = [*HOSTILE, 10**12, -1, 0.5, True, None, [], {}, [MARKUP], {MARKUP: MARKUP}]

@pytest.fixture(scope='module')
def run(tmp_path_factory):
    "Sketches with translators and classifiers that learnt nothing"
    run = sample_run(tmp_path_factory.mktemp('hands')/'inner'/'run', size=32)
    gan = run/'steps'/'gan-uda-0-0a1b'
    for a, b in (('film', 'digital'), ('digital', 'film')):
        save_translator(Translator(Generator(filters=4, blocks=1), a, b, 32, ['0a1b'], .4), gan/f'{a}-{b}')
        save_classifier(make_net('resnet50'), run/'steps'/f'baseline-{a}', 'resnet50', 32, method='baseline', train_domain=a, seed=0)
    Image.fromarray(np.zeros((96, 192), 'uint8')).save(gan/'sample-0001.png')
    (gan/'losses.csv').write_text('gan_loss_ab,cycle_loss_a\n1.5,2.5\n')
    measures = 'error,tones,contrast,detail,kept,spots'.split(',')
    (gan/'watch.csv').write_text('\n'.join([','.join(['epoch', 'way', *measures]), *(','.join(['1', way, *['.5']*6]) for way in ('film-digital', 'digital-film'))]) + '\n')
    manifest = json.loads((run/'manifest.json').read_text()) | dict(classifiers=['steps/baseline-film', 'steps/baseline-digital'])
    for o in manifest['translations']: o['translator'] = f"steps/{gan.name}/{o['domain']}-{o['to']}"
    (run/'manifest.json').write_text(json.dumps(manifest))
    (run/'settings.json').write_text(json.dumps(choose_settings('tiny')))
    return run

@pytest.fixture
def copy(run, tmp_path):
    "A run of its own, alone in its folder; its files are links until they are replaced"
    return Path(shutil.copytree(run, tmp_path/'inner'/'run', copy_function=os.link))

def replace(path, data):
    path.unlink()
    path.write_bytes(data if isinstance(data, bytes) else data.encode())

def outside(run): return sorted(str(o) for o in run.parent.parent.rglob('*') if not o.is_relative_to(run))

# --- what a page is made of

class Parts(HTMLParser):
    "Elements and attributes of a page, those that its script inserts included"
    def __init__(self, page):
        super().__init__()
        self.found, self.inside = set(), None
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.found |= {tag, *((tag, name) for name, _ in attributes)}
        self.inside = tag

    def handle_data(self, data):
        if self.inside != 'script' or not data.startswith(('{', '[')): return
        texts, todo = [], [json.loads(data)]
        while todo:
            o = todo.pop()
            if isinstance(o, str): texts.append(o)
            elif isinstance(o, (list, dict)): todo += [*(o.values() if isinstance(o, dict) else o)]
        for text in texts: self.found |= Parts(text).found

def parts(run): return {part for page in run.rglob('*.html') for part in Parts(page.read_text()).found}

def check_texts(run):
    "Nothing that a spreadsheet or Markdown obeys"
    for table in run.rglob('*.csv'): assert not re.search(r'(^|,)"?[=@+]', table.read_text(), re.M), table.name
    if (run/'table1.md').exists():
        text = (run/'table1.md').read_text()
        assert '<b' not in text and '[/b]' not in text and '\x1b' not in text
        assert len({len(re.findall(r'(?<!\\)\|', line)) for line in text.splitlines() if line.startswith('| ')}) == 1

def everything(run):
    make_report(run)
    write_twins(run)
    audit_run(run, 'cpu')

@pytest.fixture(scope='module')
def plain(run, tmp_path_factory):
    "Elements and attributes of the pages of the unspoilt run"
    copy = Path(shutil.copytree(run, tmp_path_factory.mktemp('plain')/'run', copy_function=os.link))
    everything(copy)
    pages = sorted(o.name for o in copy.glob('*.html'))
    assert pages == ['audit.html', 'digital-to-film.html', 'film-to-digital.html', 'index.html', 'table1-cells.html', 'table1.html', 'trainings.html']
    check_texts(copy)
    return parts(copy)

def test_what_a_page_is_made_of_is_seen(plain): assert {'h1', ('img', 'src'), 'button'} <= plain and 'b' not in plain

# --- each field of each file

def leaves(o, at=()):
    "Paths to all that a JSON value holds"
    yield at
    for k, v in (o.items() if isinstance(o, dict) else enumerate(o) if isinstance(o, list) else ()): yield from leaves(v, (*at, k))

def changed(o, at, value):
    if not at: return value
    o = dict(o) if isinstance(o, dict) else list(o)
    o[at[0]] = changed(o[at[0]], at[1:], value)
    return o

def is_refused(act, run):
    "One sentence, or it goes well"
    before = outside(run)
    try: act()
    except UserError as e:
        said = str(e)
        assert said.isprintable() and said.endswith('.') and len(said) < 600
        return True
    finally: assert outside(run) == before
    return False

READERS = {'manifest.json': (lambda run: read_manifest(run), everything),
           'settings.json': (lambda run: claim_folder(run, choose_settings('tiny')), None),
           'steps/prepare-film/store.json': (lambda run: (len(PixelStore(run/'steps/prepare-film')), PixelStore(run/'steps/prepare-film').index), None),
           'steps/gan-uda-0-0a1b/film-digital/translator.json': (lambda run: load_translator(run/'steps/gan-uda-0-0a1b/film-digital', 'cpu'), None),
           'steps/baseline-film/classifier.json': (lambda run: read_json(run/'steps/baseline-film/classifier.json', CLASSIFIER), None)}

@pytest.mark.parametrize('name', READERS)
def test_every_field_of_json(copy, request, name):
    read, use = READERS[name]
    good, refused, used = json.loads((copy/name).read_text()), 0, []
    for at in leaves(good):
        for value in WRONG:
            replace(copy/name, json.dumps(changed(good, at, value)))
            if is_refused(lambda: read(copy), copy): refused += 1
            elif isinstance(value, str): used.append(at)
    assert refused > 2*len(WRONG) or name == 'settings.json'
    assert {at[0] for at in used} <= ({'note', 'methods'} if use else {'range', 'version'}) or name == 'settings.json' # texts that are shown, both at once below
    if not use: return
    replace(copy/name, json.dumps(good | dict(note=MARKUP, methods=MARKUP)))
    assert not is_refused(lambda: use(copy), copy) and parts(copy) == request.getfixturevalue('plain')
    check_texts(copy)

def spoilt(table, column, value):
    return table.assign(**{column: [value, *table[column].astype(object).where(table[column].notna(), None).map(str)[1:]]})

def test_every_column_of_an_index(copy):
    folder = copy/'steps/prepare-film'
    good = pd.read_parquet(folder/'index.parquet').assign(scanner='A')
    Browser(PixelStore(folder)).save(copy/'page.html')
    plain = parts(copy)
    for column in good:
        for value in HOSTILE:
            spoilt(good, column, value).to_parquet(folder/'new.parquet')
            os.replace(folder/'new.parquet', folder/'index.parquet')
            if is_refused(lambda: PixelStore(folder).index, copy): assert column != 'scanner'
            else:
                assert column == 'scanner'
                found = describe(PixelStore(folder))
                assert '<b' not in found._repr_html_() and '\x1b' not in str(found)
                Browser(PixelStore(folder)).save(copy/'page.html')
                assert parts(copy) == plain
    for why, table in {'twice': good.assign(image_id='same'), '79 rows': good[:79], 'lists': good.assign(more=[[1]]*80), 'bytes': good.assign(more=b'1'),
                       'no id': good.drop(columns='image_id')}.items():
        table.to_parquet(folder/'index.parquet.new')
        os.replace(folder/'index.parquet.new', folder/'index.parquet')
        assert is_refused(lambda: PixelStore(folder).index, copy), why

def test_every_column_of_scores(copy):
    good = pd.read_parquet(copy/'scores.parquet')
    for column in good:
        for value in HOSTILE:
            spoilt(good, column, value).to_parquet(copy/'new.parquet')
            os.replace(copy/'new.parquet', copy/'scores.parquet')
            assert is_refused(lambda: read_scores(copy), copy)
    with pytest.raises(UserError, match='cannot be written: arch'): write_scores(good.replace({'arch': {'resnet50': MARKUP}}), copy/'scores.parquet')

@pytest.mark.parametrize('name', ['losses', 'watch'])
def test_every_field_of_what_a_training_wrote(copy, name):
    folder = copy/'steps/gan-uda-0-0a1b'
    good = pd.read_csv(folder/f'{name}.csv')
    tables = [spoilt(good, column, value) for column in good for value in HOSTILE] + [good.rename(columns={column: MARKUP}) for column in good.columns.drop('way', errors='ignore')]
    for table in tables:
        replace(folder/f'{name}.csv', table.to_csv(index=False))
        assert is_refused(lambda: read_training(folder), copy)

def test_every_column_of_rejected(copy):
    folder = copy/'steps/prepare-film'
    good = pd.DataFrame(dict(image_id=['film-i1', 'film-i2'], row=[2, 3], reason='truncated'))
    for column in good:
        for value in HOSTILE:
            replace(folder/'rejected.csv', spoilt(good, column, value).to_csv(index=False))
            assert is_refused(lambda: PixelStore(folder).rejected, copy) != ((column, value) == ('reason', MARKUP)) # a phrase, shown as it is

# --- a second line: what gets past the checks is escaped all the same

def test_pages_and_tables_escape_whatever_they_are_given(run):
    scores = synthetic_scores(n=40, seeds=2).replace({'arch': {'resnet50': MARKUP}, 'method': {'uda': MARKUP}})
    table = Table1(scores, methods=MARKUP, note=MARKUP)
    page = audit_page(dict(answers=pd.DataFrame(dict(recipe=[MARKUP]))), [MARKUP])
    for text in (table._repr_html_(), page):
        assert not {'b', ('b', 'onmouseover'), ('img', 'onmouseover')} & Parts(text).found
    assert '<b' not in table._repr_markdown_()
    from rich.console import Console
    Console(file=open(os.devnull, 'w')).print(table)

def test_pages_may_load_and_run_nothing(run, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path/'run', copy_function=os.link))
    make_report(copy)
    for page in copy.glob('*.html'):
        policy, = re.findall('Content-Security-Policy" content="([^"]+)"', page.read_text())
        assert "default-src 'none'" in policy and 'script-src' not in policy and 'http' not in policy

# --- links

@pytest.mark.parametrize('name, to', [('steps/prepare-film', '../../..'), ('audit', '../..'), ('steps/gan-uda-0-0a1b/sample-0002.png', '../../../../secret.png'), ('.lock', '../../secret')])
def test_no_link_leads_out(copy, name, to):
    (copy.parent.parent/'secret').write_text('mine')
    if (copy/name).exists(): shutil.rmtree(copy/name)
    (copy/name).symlink_to(to)
    for act in (make_report, write_twins, audit_run, lambda run: claim_folder(run, choose_settings('tiny')), lambda run: run_table1(out=run, preset='tiny')):
        assert is_refused(lambda: act(copy), copy)
    assert (copy.parent.parent/'secret').read_text() == 'mine'

# --- pixels

class Runs:
    def __reduce__(self): return os.mkdir, ('ran',)

def npy(array=None, **header):
    import io
    f = io.BytesIO()
    if array is not None: np.save(f, array, allow_pickle=True)
    else: np.lib.format.write_array_header_1_0(f, dict(descr='<u2', fortran_order=False, shape=(80, 32, 32)) | header)
    return f.getvalue() + bytes(2*80*32*32)*(array is None)

BAD_PIXELS = dict(objects=lambda: npy(np.array([Runs()]*80, dtype=object)), pickle=lambda: pickle.dumps(Runs()), shape=lambda: npy(shape=(80, 64, 16)), huge=lambda: npy(shape=(10**9, 32, 32)),
                  type=lambda: npy(descr='<i2'), order=lambda: npy(fortran_order=True), short=lambda: npy()[:-1], empty=lambda: b'', text=lambda: b'hello', fewer=lambda: npy(shape=(79, 32, 32)))

@pytest.mark.parametrize('name', BAD_PIXELS)
def test_pixels(copy, name, monkeypatch):
    monkeypatch.chdir(copy)
    replace(copy/'steps/prepare-film/pixels.npy', BAD_PIXELS[name]())
    assert is_refused(lambda: PixelStore(copy/'steps/prepare-film')[0], copy) and not Path('ran').exists()

# --- weights

@pytest.mark.parametrize('settings', [dict(filters=10**9), dict(blocks=10**9), dict(filters=1024, blocks=64), dict(filters='4'), dict(channels=2), dict(other=1), dict(how=MARKUP)])
def test_a_translator_takes_no_memory_before_it_fits(copy, settings, monkeypatch):
    path, built = copy/'steps/gan-uda-0-0a1b/film-digital/translator.json', []
    about = json.loads(path.read_text())
    replace(path, json.dumps(about | dict(settings=about['settings'] | settings)))
    @wraps(Generator)
    def spy(**kwargs):
        built.append(torch.get_default_device().type)
        return Generator(**kwargs)
    monkeypatch.setitem(translators.GENERATORS, 'Generator', spy)
    if set(settings) == {'other'}: return load_translator(path.parent, 'cpu') # not declared, so not used
    assert is_refused(lambda: load_translator(path.parent, 'cpu'), copy) and set(built) <= {'meta'}

def widened(net): net.layers[-1].bias = torch.nn.Parameter(torch.zeros(2))

@pytest.mark.parametrize('spoil', [lambda net: net.double(), lambda net: net.layers[-1].weight.data.view(-1)[-1:].fill_(torch.nan),
                                   lambda net: net.layers[-1].bias.data.fill_(torch.inf), lambda net: net.layers.pop(-1), widened])
def test_weights_must_fit_and_be_finite(copy, spoil):
    from mammo_uda.core.training import write_weights
    net, path = Generator(filters=4, blocks=1), copy/'steps/gan-uda-0-0a1b/film-digital/translator.safetensors'
    spoil(net)
    path.unlink()
    write_weights(net, path)
    assert is_refused(lambda: load_translator(path.parent, 'cpu'), copy)

def calls(tree, *names):
    for o in ast.walk(tree):
        if isinstance(o, ast.Call) and ast.unparse(o.func) in names: yield o

@pytest.mark.parametrize('path', sorted(Path(translators.__file__).parent.parent.rglob('*.py')), ids=lambda o: f'{o.parent.name}-{o.stem}')
def test_nothing_that_is_loaded_can_run(path):
    tree = ast.parse(path.read_text())
    imported = {a.name.split('.')[0] for o in ast.walk(tree) if isinstance(o, (ast.Import, ast.ImportFrom)) for a in o.names} | \
               {o.module.split('.')[0] for o in ast.walk(tree) if isinstance(o, ast.ImportFrom) and o.module}
    assert not imported & {'dill', 'cloudpickle', 'joblib', 'shelve', 'marshal', 'yaml'}
    assert not list(calls(tree, 'eval', 'exec', 'pd.read_pickle', 'np.load', 'pickle.Unpickler', 'load', 'loads', 'Unpickler'))
    own = path.name == 'workers.py' # between a process and those that it has started, as in multiprocessing; never a file
    assert own or not list(calls(tree, 'pickle.load', 'pickle.loads'))
    for call in calls(tree, 'torch.load', 'load_state_dict_from_url'):
        assert any(o.arg == 'weights_only' and o.value.value is True for o in call.keywords)

# --- names of files

NAMES = ['[bold]', 'x[/b]', '😀', '%s', '{x}', 'two\nlines', '\x1b[2J', os.fsdecode(b'\xff'), '<b>', "it's"]

@pytest.mark.parametrize('name', NAMES)
def test_a_file_of_any_name_is_named_in_one_line(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    Path(f'{name}.csv').parent.mkdir(exist_ok=True)
    Path(f'{name}.csv').write_text('colour\nred\n')
    for args in (['ingest', 'csv', f'{name}.csv', '--out', 's'], ['ingest', 'dicom', name, '--labels', f'{name}.csv', '--out', 's'], ['describe', name], ['audit', name],
                 ['ingest', name, 'x', '--out', 's'], ['table1', '--film', f'{name}.csv', '--digital', f'{name}.csv']):
        said = CliRunner().invoke(app, args)
        assert said.exit_code == 2 and isinstance(said.exception, SystemExit), args
        assert said.stderr.count('\n') == 1 and said.stderr[:-1].isprintable(), args

def discs(folder, files):
    "Noisy half discs, and a list of them"
    folder.mkdir(parents=True)
    y, x = np.mgrid[:64, :64]
    for i, file in enumerate(files):
        disc = (1.2 - np.hypot(y-32, x)/(16+i)).clip(0, 1)*np.random.default_rng(i).uniform(.8, 1, (64, 64))
        Image.fromarray((disc*65535).astype('uint16')).save(folder/file)
    pd.DataFrame(dict(file=files, patient=range(len(files)), label=[i%2 for i in range(len(files))])).to_csv(folder/'index.csv', index=False)

def mammo_uda(*args, **env):
    "The command in a process of its own; its warnings are those that a user sees"
    env = {k: v for k, v in os.environ.items() if k not in ('PYTHONWARNINGS', 'PYTHONIOENCODING', 'LC_ALL', 'LANG', 'PYTHONUTF8')} | env
    return subprocess.run([sys.executable, '-c', 'from mammo_uda.console import main; main()', *map(str, args)], env=env, capture_output=True)

@pytest.mark.parametrize('env', [dict(LC_ALL='C'), dict(PYTHONIOENCODING='ascii'), dict(LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0')], ids=str)
def test_a_console_of_ascii(tmp_path, env):
    odd = tmp_path/os.fsdecode(''.join(NAMES).encode(errors='surrogateescape'))
    discs(odd, [f'{i}.png' for i in range(4)])
    done = mammo_uda('ingest', 'csv', odd/'index.csv', '--size', 32, '--out', odd/'s', **env)
    assert (done.returncode, done.stderr) == (0, b''), done.stderr
    assert b'4 images of 4 patients' in done.stdout
    failed = mammo_uda('ingest', 'csv', odd/'none.csv', '--out', odd/'t', **env)
    assert failed.returncode == 2 and failed.stderr.count(b'\n') == 1 and b'Traceback' not in failed.stderr

# --- what libraries have to say

def odd_dicom(folder):
    "Files whose headers pydicom warns of, with what stands in them"
    folder.mkdir()
    for i in range(2):
        ds = header(film(64, seed=i), PatientID=f'CANARY-{i}', StudyInstanceUID='1.2.3.44', PixelSpacing=[1.5, 1.5], PatientAge='044Y')
        save_dicom(folder/f'{i}.dcm', ds, ExplicitVRLittleEndian, film(64, seed=i).tobytes())
        (folder/f'{i}.dcm').write_bytes((folder/f'{i}.dcm').read_bytes().replace(b'1.2.3.44', b'1.CANARY').replace(b'044Y', b'CANA'))
    pd.DataFrame(dict(file=['0.dcm', '1.dcm'], patient=['a', 'b'])).to_csv(folder/'new.csv', index=False)

def arguments(command, run, tmp):
    "Of a command that does all of its work"
    return dict(translate=[run/'steps/gan-uda-0-0a1b/film-digital', tmp/'in', tmp/'out', '--device', 'cpu'],
                predict=[run/'steps/baseline-film', tmp/'in'/'new.csv', '--out', tmp/'scores.csv', '--device', 'cpu'],
                audit=[run, '--device', 'cpu'],
                describe=[run/'steps'/'prepare-film', run/'steps'/'prepare-digital'],
                table1=['--tiny', '--seeds', 1, '--arch', 'resnet50', '--out', tmp/'run', '--device', 'cpu'])[command]

@pytest.mark.parametrize('command', ['translate', 'predict', 'audit', 'describe', 'table1'])
def test_no_library_speaks(copy, tmp_path, command):
    odd_dicom(tmp_path/'in')
    done = mammo_uda(command, *arguments(command, copy, tmp_path))
    assert (done.returncode, done.stderr) == (0, b''), done.stderr
    assert b'CANARY' not in done.stdout
