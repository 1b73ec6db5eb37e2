"The report is made from files alone"
import json, re, shutil, subprocess, sys
import numpy as np, pandas as pd, pytest
from PIL import Image
from mammo_uda.core.files import UserError
from mammo_uda.data.store import PixelStore, write_store
from mammo_uda.experiment.report import (LIMITS, Triplets, draw_triplets, example_rows, make_report, read_manifest, run_table,
                                         sample_run, translation_figure)

@pytest.fixture(scope='module')
def run(tmp_path_factory):
    run = sample_run(tmp_path_factory.mktemp('report')/'run', size=32)
    make_report(run)
    return run

def _edit(run, **values):
    manifest = read_manifest(run) | values
    (run/'manifest.json').write_text(json.dumps(manifest))

@pytest.fixture
def copy(run, tmp_path): return shutil.copytree(run, tmp_path/'run')

def test_writes_all(run):
    for name in ['table1.csv', 'table1.json', 'table1.md', 'table1.html', 'differences.png', 'roc.png', 'translations.png', 'index.html']:
        assert (run/name).stat().st_size>0, name
    for name in ['differences.png', 'roc.png', 'translations.png']: Image.open(run/name).verify()

def test_page_stands_alone(run):
    page = (run/'index.html').read_text()
    for source in re.findall(r'(?:src|href)="([^"]+)"', page): assert (run/source).exists(), source
    assert LIMITS in page and str(run) not in page and 'color-scheme:light dark' in page
    assert run_table(run)._repr_html_() in page

def test_same_files_again(run):
    names = ['table1.csv', 'table1.json', 'table1.md', 'table1.html', 'index.html']
    before = [(run/n).read_bytes() for n in names]
    make_report(run)
    assert before==[(run/n).read_bytes() for n in names]

def test_needs_no_torch(run):
    code = "import sys; from mammo_uda.experiment.report import make_report; make_report(sys.argv[1]); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, '-c', code, run], check=True)

def test_triplets_are_matched_by_id(copy):
    entry = read_manifest(copy)['translations'][0]
    store = PixelStore(copy/entry['synthesised'])
    order = [9, 4, 2]
    write_store(copy/'steps/part', [store[i] for i in order], store.index.iloc[order], store.size)
    triplets = Triplets(copy, entry | {'synthesised': 'steps/part'})
    assert len(triplets)==3
    whole = Triplets(copy, entry)
    ids = whole.index.image_id.tolist()
    for i, image_id in enumerate(triplets.index.image_id):
        for a, b in zip(triplets[i], whole[ids.index(image_id)]): np.testing.assert_array_equal(a, b)

def test_examples_are_the_commonest_kinds():
    index = pd.DataFrame(dict(view=['LM', 'CC', 'CC', 'MLO', 'MLO', 'CC', 'CC', 'MLO', 'MLO'], label=[0, 1, 1, 0, 0, 0, 0, 1, 1]))
    assert [tuple(index.loc[i]) for i in example_rows(index)]==[('CC', 0), ('CC', 1), ('MLO', 0), ('MLO', 1)]

def test_examples_without_view_or_label():
    index = pd.DataFrame(dict(view=pd.Series([None, None, 'CC'], dtype='str'), label=pd.array([0, None, None], dtype='Int64')))
    assert sorted(example_rows(index))==[0, 1, 2]

def test_first_seed_only_and_both_directions(copy):
    two = read_manifest(copy)['translations']
    _edit(copy, translations=[o | {'seed': 1} for o in two] + two)
    fig = translation_figure(copy)
    assert len(fig.subfigs)==2 and len(fig.axes)==2*3*4

def test_run_without_translations(copy):
    _edit(copy, translations=[])
    (copy/'translations.png').unlink()
    assert 'translations.png' not in make_report(copy).read_text()

def test_run_without_scores_or_manifest(copy):
    (copy/'scores.parquet').unlink()
    with pytest.raises(UserError, match='does not exist'): make_report(copy)
    (copy/'manifest.json').unlink()
    with pytest.raises(UserError, match='manifest.json'): make_report(copy)
