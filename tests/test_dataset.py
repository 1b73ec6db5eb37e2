"Lists of images: what is refused, and how the rest is split"
import os
from pathlib import Path

import numpy as np, pandas as pd, pydicom, pytest
from PIL import Image
from pydicom.data import get_testdata_file

from mammo_uda.core.files import UserError
from mammo_uda.data.dataset import COLUMNS, VIEW_NUMBERS, Dataset, rows_where, secret_key


def listing(**columns):
    "A good list of 12 patients with two images each; columns given replace or join it, None drops one"
    good = dict(path=[f'{i}.png' for i in range(24)], patient=[f'P{i//2}' for i in range(24)], label=[i//2%2 for i in range(24)])
    return pd.DataFrame({k: v for k, v in {**good, **columns}.items() if v is not None})


def changed(column, row, value):
    "The column of the good list with another value in one line of the file"
    values = listing()[column].astype(object).tolist()
    values[row-2] = value
    return {column: values}


@pytest.fixture
def load(tmp_path):
    def load(**columns):
        listing(**columns).to_csv(tmp_path/'index.csv', index=False)
        return Dataset.from_csv(tmp_path/'index.csv', 'film')
    return load


def test_good_list(load):
    d = load()
    assert len(d) == 24 and d.table.columns.tolist() == COLUMNS
    first, again, other = d.table['patient'][:3]
    assert first == again != other and first.startswith('film-p')
    assert d.table['image_id'].is_unique and d.table['image_id'].str.startswith('film-i').all()
    assert d.table['label'].dtype == 'Int64' and d.table['row'].tolist() == list(range(2, 26))


def test_file_column_serves_as_path(load):
    assert load(path=None, file=listing()['path']).table['path'].tolist() == listing()['path'].tolist()


def test_known_columns_keep_their_values_and_others_go(load):
    d = load(age=[57.5]*23+[None], scanner=['A', 'B']*12, image_id=[f'x{i}' for i in range(24)], surname=['CANARY']*24)
    assert d.table['age'].sum() == 57.5*23 and d.table['scanner'].tolist()[:2] == ['A', 'B']
    assert not any(o in d.table.to_csv() for o in ('x1', 'surname', 'CANARY'))


def test_a_view_that_is_no_code_counts_as_missing(load):
    views = load(view=['cc', 'MLO', 'CANARY', None]*6).table['view']
    assert views[:2].tolist() == ['CC', 'MLO'] and views[2:4].isna().all()


def test_pseudonyms_follow_the_key_and_splits_do_not(load, tmp_path, monkeypatch):
    tables = []
    for key in ('one', 'two', 'one'):
        monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path/key))
        tables.append(load().split_patients(seed=5).table)
    one, two, again = tables
    pd.testing.assert_frame_equal(one, again)
    assert one['split'].tolist() == two['split'].tolist()
    for column in ('patient', 'image_id'): assert set(one[column]).isdisjoint(two[column])


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    assert secret_key() == secret_key()
    files = [o for o in tmp_path.rglob('*') if o.is_file()]
    assert len(files) == 1 and files[0].stat().st_mode & 0o077 == 0


def test_a_key_that_cannot_be_kept_is_one_sentence(tmp_path, monkeypatch):
    (tmp_path/'mammo_uda').write_text('a file in the way')
    monkeypatch.setenv('XDG_CONFIG_HOME', str(tmp_path))
    with pytest.raises(UserError, match='key for pseudonyms .* XDG_CONFIG_HOME'): secret_key()


def test_numbers_with_leading_zeros_are_other_patients(load):
    assert load(patient=['01', '1']*12).table['patient'].nunique() == 2


@pytest.mark.parametrize('columns, message', [
    (dict(path=None),                                   "no column 'path' or 'file'"),
    (dict(patient=None),                                "no column 'patient'"),
    (changed('path', 5, None),                          'row 5: path is empty'),
    (changed('patient', 6, ' '),                        'row 6: patient is empty'),
    (changed('label', 8, 'malignant'),                  "row 8: label is 'malignant'; it must be 0 or 1"),
    (changed('label', 9, 2),                            "row 9: label is '2'"),
    (changed('path', 4, '0.png'),                       'row 4: its image was listed before'),
    (changed('path', 4, './0.png'),                     'row 4: its image was listed before'),
    (dict(image_id=[*range(23), 3]),                    "row 25: image_id '3' was used before"),
    (dict(split=['train', 'test']*12),                  'row 2: its patient is in two splits'),
    (dict(split=['train']*22 + [None]*2),               'row 24: it has no split'),
    (dict(split=['train']*20 + ['val']*4),              "row 22: split is 'val'"),
    (dict(photometric=['MONOCHROM1'] + [None]*23),      "row 2: photometric is 'MONOCHROM1'"),
    (dict(laterality=['X']*24),                         "row 2: laterality is 'X'"),
])
def test_bad_list_is_refused_in_one_sentence(load, columns, message):
    with pytest.raises(UserError) as e: load(**columns)
    assert message in str(e.value) and 'index.csv' in str(e.value) and '\n' not in str(e.value)


@pytest.mark.parametrize('text, message', [
    (None, 'does not exist'), ('', 'is empty'), ('path,patient,label\n', 'no rows'), ('path,patient,label\n,,\n\n', 'no rows'),
    ('\x00\xff', 'UTF-8|no column|no rows'),
])
def test_no_list(tmp_path, text, message):
    path = tmp_path/'index.csv'
    if text is not None: path.write_text(text, encoding='latin-1')
    with pytest.raises(UserError, match=message): Dataset.from_csv(path, 'film')


def test_a_folder_is_no_list(tmp_path):
    with pytest.raises(UserError, match='is a folder'): Dataset.from_csv(tmp_path, 'film')


@pytest.mark.parametrize('label', [None, ['', '1']*12])
def test_labels_may_be_missing_to_predict(load, label):
    d = load(label=label)
    assert len(d) == 24 and d.table['label'].isna().any()
    some = f"{24 if label is None else 12} of 24 images have no label"
    assert some in d.notes and set(d.split_patients().table['split']) == {'train', 'valid', 'test'}
    if label is None:
        with pytest.raises(UserError, match='has no labels, which are needed here'): d.check_classes()


def test_a_wrong_label_is_refused_to_predict_too(load):
    with pytest.raises(UserError, match='row 3'): load(**changed('label', 3, 'B'))


def test_one_class_only(load):
    for label in (0, 1):
        with pytest.raises(UserError, match=f'no image has label {1-label}'): load(label=[label]*24).check_classes()


def test_fewer_than_five_patients_a_class(load):
    with pytest.raises(UserError, match='4 patients of label 1'): load(label=[1]*8 + [0]*16).check_classes()
    load(label=[1]*10 + [0]*14).check_classes()


def test_given_split_is_kept_and_needs_both_classes(load):
    given = ['test']*8 + ['train']*16
    split = load(split=given).split_patients(seed=3).table['split']
    assert split.replace('valid', 'train').tolist() == given and (split == 'valid').any()
    given = ['test']*8 + ['valid']*4 + ['train']*12
    assert load(split=given).split_patients(seed=3).table['split'].tolist() == given
    for given in (['test']*2 + ['train']*22, ['train']*24):
        with pytest.raises(UserError, match="not both classes in its split 'test'"): load(split=given).check_classes()


def test_split_is_stratified_reproducible_and_by_patient(load):
    d = load(patient=[f'P{i//4}' for i in range(240)], path=[f'{i}.png' for i in range(240)], label=[int(i//4 < 10) for i in range(240)])
    first, again, other = (d.split_patients(test=0.2, seed=s).table for s in (1, 1, 2))
    assert first.equals(again) and not first['split'].equals(other['split'])
    assert first.groupby('patient')['split'].nunique().max() == 1
    tested = first[first['split'] == 'test']
    assert tested['patient'].nunique() == 12 and tested[tested['label'] == 1]['patient'].nunique() == 2


def test_a_patient_with_both_labels_counts_as_positive(load):
    label = [0, 1]*5 + [0]*14
    assert set(load(label=label).split_patients().table['split']) == {'train', 'valid', 'test'}


def test_rows_where(load):
    t = load(view=['CC', 'MLO']*12, scanner=[*range(23), None]).table
    assert rows_where(t, view='CC').sum() == 12
    assert rows_where(t, label=np.array([1]), scanner=[2, 3, 4]).tolist() == (t['scanner'].isin([2, 3])).tolist()
    assert rows_where(t, scanner=None).sum() == 1
    assert rows_where(t).all()


# ---- a folder of DICOM

@pytest.fixture
def folder(tmp_path):
    "Two patients with a file each, in subfolders, and files that are no DICOM"
    ds = pydicom.dcmread(get_testdata_file('CT_small.dcm'))
    for i, (patient, side) in enumerate([('Ada', 'L'), ('Bea', 'U')]):
        ds.PatientID, ds.ImageLaterality, ds.ViewPosition = patient, side, 'MLO'
        (tmp_path/'files'/patient).mkdir(parents=True)
        ds.save_as(tmp_path/'files'/patient/f'{i}.dcm')
    (tmp_path/'files'/'text.dcm').write_text('no image')
    return tmp_path/'files'


def from_dicom(folder, **columns):
    csv = folder.parent/'labels.csv'
    pd.DataFrame(columns).to_csv(csv, index=False)
    return Dataset.from_dicom(folder, csv, 'digital')


def test_headers_fill_what_the_list_leaves_out(folder):
    t = from_dicom(folder, file=['0.dcm', '1.dcm', 'text.dcm', 'lost.dcm'], label=[0, 1, 0, 1]).table
    assert t['path'].tolist() == ['Ada/0.dcm', 'Bea/1.dcm', 'text.dcm', 'lost.dcm']
    assert t['patient'].nunique() == 4 and t['view'].tolist()[:2] == ['MLO', 'MLO']
    assert t['laterality'].iloc[0] == 'L' and t['laterality'].iloc[1:].isna().all()
    assert not any(name in t.drop(columns='path').to_csv() for name in ('Ada', 'Bea'))


def test_list_wins_over_header(folder):
    t = from_dicom(folder, file=['0.dcm', '1.dcm'], label=[0, 1], patient=['X', 'X'], laterality=['R', '']).table
    assert t['patient'].nunique() == 1 and t['laterality'].iloc[0] == 'R' and pd.isna(t['laterality'].iloc[1])


def test_header_without_patient(folder):
    ds = pydicom.dcmread(folder/'Ada'/'0.dcm')
    ds.PatientID = ''
    ds.save_as(folder/'Ada'/'0.dcm')
    with pytest.raises(UserError, match='row 2: neither it nor the header names a patient'): from_dicom(folder, file=['0.dcm'], label=[0])


def test_bad_folders(folder, tmp_path):
    (tmp_path/'empty').mkdir()
    for bad in (tmp_path/'empty', tmp_path/'none'):
        with pytest.raises(UserError, match='holds no files'): from_dicom(bad, file=['0.dcm'], label=[0])
    with pytest.raises(UserError, match="no column 'file'"): from_dicom(folder, name=['0.dcm'], label=[0])
    (folder/'Bea'/'0.dcm').write_text('a second file of this name')
    with pytest.raises(UserError, match='2 files that 0.dcm may mean'): from_dicom(folder, file=['0.dcm'], label=[0])


def test_folders_in_a_list_tell_files_apart(folder):
    (folder/'Bea'/'0.dcm').write_bytes((folder/'Ada'/'0.dcm').read_bytes())
    listed = from_dicom(folder, file=['Ada/0.dcm', 'export/Bea/0.dcm'], label=[0, 1], patient=['a', 'b']).table
    assert listed['path'].tolist() == ['Ada/0.dcm', 'Bea/0.dcm']
    (folder/'Ada'/'0.dcm').unlink()
    assert from_dicom(folder, file=['Ada/0.dcm'], label=[0]).table['path'].tolist() == ['Ada/0.dcm'] # lost, and not that of Bea


def test_a_picture_among_dicom_files_needs_a_patient(folder):
    Image.new('L', (8, 8)).save(folder/'photo.png')
    with pytest.raises(UserError, match='row 2: neither it nor the header names a patient'): from_dicom(folder, file=['photo.png'], label=[0])
    assert len(from_dicom(folder, file=['photo.png'], label=[0], patient=['Ada'])) == 1


# ---- real lists

@pytest.mark.parametrize('name, images, patients', [('film_ddsm', 1573, 794), ('ffdm_rsna', 2394, 677)])
def test_real_lists(name, images, patients):
    if 'MAMMO_UDA_DATA' not in os.environ: pytest.skip('MAMMO_UDA_DATA is not set')
    d = Dataset.from_csv(Path(os.environ['MAMMO_UDA_DATA'])/name/'index.csv', 'film').split_patients()
    assert len(d) == images and d.table['patient'].nunique() == patients
    rate = d.table.groupby('split')['label'].mean()
    assert abs(rate['train'] - rate['test']) < 0.05


def test_real_dicom_folder():
    if 'MAMMO_UDA_DATA' not in os.environ: pytest.skip('MAMMO_UDA_DATA is not set')
    folder = Path(os.environ['MAMMO_UDA_DATA'])/'ffdm_rsna_dicom'
    t = Dataset.from_dicom(folder, folder/'index.csv', 'digital').table
    assert len(t) == 7 and t['patient'].nunique() == 2


def test_the_numbers_of_views_are_those_of_pydicom():
    from pydicom.sr._snomed_dict import mapping
    from pydicom.sr.codedict import codes
    names = dict(CranioCaudal='CC', MedioLateralObliqueProjection='MLO', MedioLateralProjection='ML', LateroMedial='LM', LateroMedialOblique='LMO')
    numbers = {getattr(codes.cid4014, long).value: short for long, short in names.items()}
    older = {mapping['SCT'][number]: short for number, short in numbers.items()}
    assert VIEW_NUMBERS == numbers | older
