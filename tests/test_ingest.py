"From a folder as it is to a store, whatever is wrong with the folder"
import os
from pathlib import Path

import numpy as np, pandas as pd, pytest
from PIL import Image
from typer.testing import CliRunner

from codings import film, save_coded
from mammo_uda.cli import app
from mammo_uda.core.files import UserError
from mammo_uda.data.ingest import ingest_notes, read_set, same_pixels
from mammo_uda.data.store import PixelStore, build_store
from mammo_uda.experiment.sources import Domain, check_images, content_of

def type_in(*args): return CliRunner().invoke(app, ['ingest', *map(str, args)])

def put_dicom(folder, names, **tags):
    folder.mkdir(parents=True, exist_ok=True)
    for i, name in enumerate(names):
        save_coded(folder, 'explicit', film(64, seed=i), **{'PatientID': f'P{i}'} | tags).rename(folder/name)

def labels(path, files, label=0):
    pd.DataFrame({'file': files, 'label': label}).to_csv(path, index=False)
    return path

def ingest_dicom(tmp_path, files, label=0):
    return build_store(read_set('dicom', tmp_path/'pacs', labels=labels(tmp_path/'labels.csv', files, label)), tmp_path/'store', 32)

def test_the_command_makes_a_store_of_one_class(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put_dicom(Path('pacs'), ['a.dcm', 'b.dcm'])
    labels('labels.csv', ['a.dcm', 'b.dcm'])
    result = type_in('dicom', 'pacs', '--labels', 'labels.csv', '--out', 'stores/ours', '--size', 64, '--domain', 'film')
    assert result.exit_code == 0, result.output
    assert '2 images of 2 patients are in the store as film, 0 could not be used.' in result.stdout and '2 images have no side in the list' in ' '.join(result.stdout.split())
    store = PixelStore('stores/ours')
    assert (store.size, len(store), set(store.index['domain'])) == (64, 2, {'film'})

@pytest.mark.parametrize('args, words', [
    (['mammobase', 'pacs'],                            'no kind of set named mammobase: choose from ddsm'),
    (['csv', 'index.csv', '--labels', 'labels.csv'],   'for the kind dicom: leave it out for others'),
    (['csv', 'index.csv'],                             'index.csv does not exist'),
    (['rsna', 'pacs'],                                 'holds no train.csv'),
    (['rsna', 'pacs', '--negatives', 'normals'],       '--negatives names volumes of DDSM'),
    (['ddsm', 'pacs', '--negatives', 'cancers'],       "negatives has 'cancers'"),
    (['dicom', 'pacs', '--labels', 'labels.csv', '--keep', 'spot,mri'], "--keep has 'mri'"),
    (['dicom', 'pacs', '--labels', 'labels.csv', '--size', '7'], '--size is 7'),
    (['dicom', 'pacs', '--labels', 'labels.csv', '--out', 'pacs'], 'pacs already holds files')])
def test_what_the_command_refuses(tmp_path, monkeypatch, args, words):
    monkeypatch.chdir(tmp_path)
    put_dicom(Path('pacs'), ['a.dcm'])
    labels('labels.csv', ['a.dcm'])
    result = type_in(*args, *([] if '--out' in args else ['--out', 'store']))
    assert result.exit_code == 2 and words in result.stderr and result.stderr.count('\n') == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ['labels.csv', 'pacs']

def test_views_that_are_left_out_may_be_kept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put_dicom(Path('pacs'), ['a.dcm'])
    put_dicom(Path('pacs'), ['b.dcm'], ImageType=['DERIVED', 'PRIMARY', 'TOMOSYNTHESIS', 'GENERATED_2D'])
    labels('labels.csv', ['a.dcm', 'b.dcm'])
    args = ['dicom', 'pacs', '--labels', 'labels.csv', '--size', 32]
    first, second = type_in(*args, '--out', 'without'), type_in(*args, '--out', 'with', '--keep', 'tomosynthesis')
    assert (len(PixelStore('without')), len(PixelStore('with'))) == (1, 2)
    assert '1 images were left out: made from tomosynthesis' in first.stdout and '1 images were kept though each is' in second.stdout

def test_stopping_says_that_it_goes_on(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put_dicom(Path('pacs'), ['a.dcm'])
    labels('labels.csv', ['a.dcm'])
    def stopped(*args, **kwargs): raise KeyboardInterrupt
    monkeypatch.setattr('mammo_uda.data.store.build_store', stopped)
    result = type_in('dicom', 'pacs', '--labels', 'labels.csv', '--out', 'store')
    assert result.exit_code == 130 and 'go on from here' in result.stderr

def test_odd_names_and_links_that_go_round(tmp_path):
    names = ['Müller Brüste 乳房.dcm', 'x'*240 + '.dcm', 'plain.dcm']
    put_dicom(tmp_path/'pacs'/'deep', names)
    (tmp_path/'pacs'/'deep'/'round').symlink_to(tmp_path/'pacs')
    (tmp_path/'pacs'/'self').symlink_to(tmp_path/'pacs'/'self')
    store = ingest_dicom(tmp_path, names)
    assert len(store) == 3 and store.index['patient'].nunique() == 3

def test_a_folder_that_may_not_be_read(tmp_path):
    if os.geteuid() == 0: pytest.skip('root may read every folder')
    put_dicom(tmp_path/'pacs', ['a.dcm'])
    put_dicom(tmp_path/'pacs'/'closed', ['b.dcm'])
    (tmp_path/'pacs'/'closed').chmod(0)
    store = ingest_dicom(tmp_path, ['a.dcm', 'b.dcm'])
    (tmp_path/'pacs'/'closed').chmod(0o755)
    assert len(store) == 1 and len(store.rejected) == 1

def test_two_files_with_the_same_number_are_two_images(tmp_path):
    put_dicom(tmp_path/'pacs', ['a.dcm', 'b.dcm'], SOPInstanceUID='1.2.3')
    assert len(ingest_dicom(tmp_path, ['a.dcm', 'b.dcm'])) == 2

def test_the_same_pixels_under_two_patients_are_reported(tmp_path):
    put_dicom(tmp_path/'pacs', ['a.dcm', 'b.dcm'])
    for name, patient in (('copy', 'P9'), ('again', 'P0')):
        save_coded(tmp_path/'pacs', 'implicit', film(64, seed=0), PatientID=patient).rename(tmp_path/'pacs'/f'{name}.dcm')
    store = ingest_dicom(tmp_path, ['a.dcm', 'b.dcm', 'copy.dcm', 'again.dcm'])
    assert same_pixels(store).values.tolist() == [[2, 4]] # the copy of the patient's own is no leak
    assert any('1 images repeat the pixels of another patient; the first is row 4, which repeats row 2.' == note for note in ingest_notes(store))

def test_a_store_is_checked_as_a_list_is(tmp_path):
    put_dicom(tmp_path/'pacs', ['a.dcm', 'b.dcm'])
    store = ingest_dicom(tmp_path, ['a.dcm', 'b.dcm'])
    with pytest.raises(UserError, match='one class only'): check_images(Domain('ours', str(store.folder)), 32, labelled=True)

def test_images_that_were_replaced_are_another_source(tmp_path):
    "A run does not go on with what it read before"
    pixels = np.arange(64, dtype=np.uint8).reshape(8, 8)
    Image.fromarray(pixels).save(tmp_path/'a.png')
    (tmp_path/'index.csv').write_text('path,patient\na.png,1\nb.png,2\n')
    keys = [content_of(tmp_path/'index.csv')]
    Image.fromarray(pixels).save(tmp_path/'b.png')
    keys.append(content_of(tmp_path/'index.csv'))
    Image.fromarray(pixels[::-1]//2).save(tmp_path/'a.png')
    keys.append(content_of(tmp_path/'index.csv'))
    assert len(set(keys)) == 3

def test_a_folder_of_dicom_needs_no_labels(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put_dicom(Path('pacs'), ['a.dcm', 'b.dcm'])
    result = type_in('dicom', 'pacs', '--out', 'store', '--size', 64)
    assert result.exit_code == 0 and '2 of 2 images have no label.' in result.stdout
    assert PixelStore('store').index.label.isna().all()
