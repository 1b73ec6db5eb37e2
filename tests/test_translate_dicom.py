"Translated DICOM files are valid, say what they are, and name no patient"
import os, shutil, subprocess
from pathlib import Path

import numpy as np, pandas as pd, pytest, torch
from pydicom import dcmread
from pydicom.dataset import Dataset as Header
from pydicom.uid import ExplicitVRLittleEndian
from torch import nn
from typer.testing import CliRunner

from codings import film, header, save_dicom
from mammo_uda.cli import app
from mammo_uda.core.files import UserError
from mammo_uda.data.dataset import Dataset
from mammo_uda.data.image import file_spacing, read_image
from mammo_uda.data.standardise import fit_breast, standardise
from mammo_uda.translate import dicom
from mammo_uda.translate.dicom import burn_in, dicom_files, kept_header, side_at, translate_dicom, translation_notes
from mammo_uda.translate.networks import Generator
from mammo_uda.translate.translator import Translator, save_translator
from test_privacy import PLANTED, SECRETS

def translator(spacing=None, size=64):
    "One that changes nothing"
    return Translator(Generator(filters=4, blocks=1, residual=True), 'film', 'digital', size, spacing=spacing)

def code(value, scheme='SRT', meaning='of the hospital'):
    item = Header()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item

def mammogram(path, size=200, side='L', seed=0, **tags):
    "A left or right breast as DICOM; 0.6 mm a pixel of 200 px are 120 mm"
    pixels = film(size, seed)
    if side == 'R': pixels = np.ascontiguousarray(pixels[:,::-1])
    ds = header(pixels, Modality='MG', ImageLaterality=side, ViewPosition='MLO', PatientID='4711', PatientName='Doe^Jane', StudyInstanceUID='1.2.3',
                SeriesInstanceUID='1.2.3.4', PatientOrientation=['A','FR'] if side == 'L' else ['P','FL'])
    for tag, value in tags.items(): setattr(ds, tag, value)
    path.parent.mkdir(exist_ok=True, parents=True)
    return save_dicom(path, ds, ExplicitVRLittleEndian, pixels.tobytes())

def one(tmp_path, t=None, **how):
    "Translate one file; gives its header"
    mammogram(tmp_path/'in'/'doe.dcm', **how)
    done = translate_dicom(t or translator(), tmp_path/'in', tmp_path/'out')
    assert done.reason.isna().all(), done.reason[0]
    return dcmread(tmp_path/'out'/done.file[0])

def without_strip(ds, side): return read_image(ds.filename)[:side,:side]

def complaints(path):
    if not shutil.which('dciodvfy'): pytest.skip('dciodvfy is not installed (Debian: dicom3tools)')
    said = subprocess.run(['dciodvfy', path], capture_output=True, text=True)
    lines = (said.stdout+said.stderr).splitlines()
    assert any('SCImage' in o for o in lines), lines
    return [o for o in lines if o.startswith('Error')]

# --- geometry

@pytest.mark.parametrize('size, mm, spacing, side', [(64, 2, 2, 64), (64, 2, 1.9, 68), (64, 2, 4, 32), (64, 1, 9, 32), (64, 1, .25, 256),
                                                     (64, 1, None, 64), (64, np.nan, 1, 64), (96, .1*3, .3, 96)])
def test_side(size, mm, spacing, side): assert side_at(size, mm, spacing) == side

@pytest.mark.parametrize('wanted', [1.8, .9, .45])
def test_spacing_of_the_training(tmp_path, wanted):
    "Twice the file's pixels are half the size of its image, and so on; the header says it"
    ds = one(tmp_path, translator(wanted), ImagerPixelSpacing=[1.2,1.2], EstimatedRadiographicMagnificationFactor=2)
    frame = fit_breast(read_image(tmp_path/'in'/'doe.dcm'), 64)[1]
    mm = float(ds.PixelSpacing[0])
    assert mm == float(ds.PixelSpacing[1]) == pytest.approx(wanted, rel=.06) and mm <= wanted
    side = round(frame.length*.6/mm)
    assert side%4 == 0 and ds.Columns >= side
    np.testing.assert_allclose(without_strip(ds, side), standardise(read_image(tmp_path/'in'/'doe.dcm'), side), atol=2e-5)

def test_without_spacing_the_size_of_the_training(tmp_path):
    ds = one(tmp_path, translator(.5))
    assert 'PixelSpacing' not in ds and 64 <= ds.Columns < 80 and 'not say how large' in translation_notes(translate_dicom(translator(.5), tmp_path/'in', tmp_path/'b'))[0]

def test_a_translator_without_spacing_keeps_its_size_and_says_the_new_spacing(tmp_path):
    ds = one(tmp_path, PixelSpacing=[.6,.6])
    frame = fit_breast(read_image(tmp_path/'in'/'doe.dcm'), 64)[1]
    assert float(ds.PixelSpacing[0]) == pytest.approx(.6*frame.length/64, abs=1e-5)

def test_a_spacing_that_cannot_be(tmp_path):
    mammogram(tmp_path/'in'/'a.dcm', PixelSpacing=[60,60])
    done = translate_dicom(translator(1.), tmp_path/'in', tmp_path/'out')
    assert 'spacing cannot be right' in done.reason[0] and not any((tmp_path/'out').iterdir())

@pytest.mark.parametrize('side', 'LR')
def test_the_breast_faces_as_before(tmp_path, side):
    ds = one(tmp_path, translator(size=160), side=side)
    image = read_image(ds.filename)
    left, right = (image[60:100, part].mean() for part in (np.s_[:8], np.s_[-8:]))
    assert (left > right) == (side == 'L') and ds.ImageLaterality == side
    assert list(ds.PatientOrientation) == (['A','FR'] if side == 'L' else ['P','FL'])

def test_large_images_go_by_tiles(tmp_path, monkeypatch):
    from mammo_uda.translate import tiles
    calls = []
    monkeypatch.setattr(tiles, 'BYTES', 20*2**10)
    monkeypatch.setattr(tiles.Tiled, 'forward', lambda self, x: calls.append(x.shape) or torch.zeros_like(x))
    one(tmp_path, translator(.15), size=400, PixelSpacing=[.3,.3])
    assert calls and calls[0][-1] > 600

# --- header

def test_header(tmp_path):
    view = code('R-10226')
    view.ViewModifierCodeSequence = [code('399161006', 'SCT'), code('JANE', '99DOE')]
    ds = one(tmp_path, ViewCodeSequence=[view], BreastImplantPresent='YES', LossyImageCompression='01', Modality='CR')
    assert (ds.Modality, ds.ViewPosition, ds.ImageLaterality, ds.BreastImplantPresent, ds.LossyImageCompression) == ('CR', 'MLO', 'L', 'YES', '01')
    item, = ds.ViewCodeSequence
    assert (item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning) == ('R-10226', 'SRT', 'medio-lateral oblique')
    assert [o.CodeMeaning for o in item.ViewModifierCodeSequence] == ['Cleavage']
    assert list(ds.ImageType) == ['DERIVED', 'SECONDARY'] and ds.BurnedInAnnotation == ds.PatientIdentityRemoved == 'YES'
    assert 'NOT FOR DIAGNOSIS' in ds.DerivationDescription and 'film mammogram' in ds.DerivationDescription and ds.SoftwareVersions
    assert (ds.BitsStored, ds.PhotometricInterpretation, ds.PixelRepresentation) == (16, 'MONOCHROME2', 0)

def test_other_views_are_left_out(tmp_path):
    ds = one(tmp_path, ViewCodeSequence=[code('R-10226', '99DOE')], ViewPosition='DOE', ImageLaterality='DOE', PatientOrientation=['DOE','F'])
    assert not any(tag in ds for tag in ('ViewCodeSequence', 'ViewPosition', 'ImageLaterality')) and not ds.PatientOrientation

def test_patients_and_studies_stay_together(tmp_path):
    for i, tags in enumerate([{}, dict(SeriesInstanceUID='1.2.3.5'), dict(StudyInstanceUID='1.2.4'), dict(PatientID='4712'), dict(PatientID='')]):
        mammogram(tmp_path/'in'/f'{i}.dcm', **tags)
    done = translate_dicom(translator(), tmp_path/'in', tmp_path/'out')
    ds = [dcmread(tmp_path/'out'/name) for name in done.file]
    assert [len({o[tag].value for o in ds}) for tag in ('PatientID', 'StudyInstanceUID', 'SeriesInstanceUID', 'SOPInstanceUID')] == [3, 4, 5, 5]
    assert ds[0].PatientID == ds[2].PatientID and ds[0].StudyInstanceUID == ds[1].StudyInstanceUID
    assert [o.InstanceNumber for o in ds] == [1, 2, 3, 4, 5]

def test_pseudonyms_are_those_of_the_stores(tmp_path):
    ds = one(tmp_path)
    (tmp_path/'labels.csv').write_text('file,label\ndoe.dcm,0\n')
    table = Dataset.from_dicom(tmp_path/'in', tmp_path/'labels.csv', 'film').table
    assert ds.PatientID == table.patient[0] and Path(ds.filename).stem == table.image_id[0]

def test_nothing_of_the_patient(tmp_path):
    ds = header(film(), **PLANTED)
    ds.PatientID = 'CANARY-1'
    ds.ViewCodeSequence = [code('R-10242', meaning='CANARY')]
    (tmp_path/'CANARY').mkdir()
    save_dicom(tmp_path/'CANARY'/'CANARY.dcm', ds, ExplicitVRLittleEndian, film().tobytes())
    (tmp_path/'CANARY'/'CANARY-cut.dcm').write_bytes((tmp_path/'CANARY'/'CANARY.dcm').read_bytes()[:3000])
    save_translator(translator(), tmp_path/'model')
    said = CliRunner().invoke(app, ['translate', str(tmp_path/'model'), str(tmp_path/'CANARY'), str(tmp_path/'out')])
    assert said.exit_code == 0, said.output
    out, = (tmp_path/'out').iterdir()
    new = dcmread(out)
    assert [o.CodeMeaning for o in new.ViewCodeSequence] == ['cranio-caudal']
    new.PixelData = b''
    for text in (said.output, out.name, str(new), str(new.file_meta), repr(out.read_bytes()[:3000])): assert not any(o in text.lower() for o in SECRETS)

# --- picture

@pytest.mark.parametrize('side', [32, 64, 100, 256, 600])
@pytest.mark.parametrize('full', [True, False])
def test_the_warning_never_covers_the_breast(side, full):
    taken = np.ones((side, side), bool)
    if not full: taken[:, side//2:] = False
    image = np.where(taken, np.float32(.5), 0)
    out = burn_in(image, taken)
    assert (out[:side,:side][taken] == .5).all() and (out > .6).sum() > 200
    assert (out.shape == image.shape) == (not full and side >= 256)

def test_the_warning_is_in_the_file_the_right_way_round(tmp_path):
    for side in 'LR':
        ds = one(tmp_path/side, translator(size=256), side=side)
        image = read_image(ds.filename)
        letters = [dicom.lettering(h, n) for h in range(12, 9, -1) for n in (1, 3)]
        assert any((image[r:r+len(o), c:c+o.shape[1]].shape == o.shape and abs(image[r:r+len(o), c:c+o.shape[1]]-o).max() < 1e-4)
                   for o in letters for r in (0, 256-len(o)) for c in (0, 256-o.shape[1]))

# --- valid

@pytest.mark.parametrize('tags', [{}, dict(PixelSpacing=[.6,.6]), dict(ViewCodeSequence=[code('399368009', 'SCT')], BreastImplantPresent='NO', PartialView='NO'),
                                  dict(PatientID='', ViewPosition='', ImageLaterality='', PatientOrientation='', Modality='')])
def test_valid(tmp_path, tags): assert complaints(one(tmp_path, **tags).filename) == []

def test_the_check_finds_faults(tmp_path):
    ds = one(tmp_path)
    del ds.ConversionType
    ds.save_as(tmp_path/'bad.dcm')
    assert complaints(tmp_path/'bad.dcm')

# --- a folder

def test_bad_files_do_not_stop_the_others(tmp_path, monkeypatch):
    good = mammogram(tmp_path/'in'/'c'/'good.dcm').read_bytes()
    (tmp_path/'in'/'a.dcm').write_text('no image')
    (tmp_path/'in'/'b.dcm').write_bytes(good[:len(good)//2])
    (tmp_path/'in'/'notes.txt').write_text('not of interest')
    (tmp_path/'in'/'d').write_bytes(good)
    calls = []
    done = translate_dicom(translator(), tmp_path/'in', tmp_path/'out', lambda *o: calls.append(o))
    assert done.reason.notna().tolist() == [True, True, False, False] and calls == [(i, 4) for i in range(1, 5)]
    assert sorted(p.name for p in (tmp_path/'out').iterdir()) == sorted(done.file.dropna())
    notes = translation_notes(done)
    assert notes[0] == 'File 1 (in order of names): not a DICOM file.' and notes[-1] == '2 files were translated, 2 could not be.'
    assert len({dcmread(p).SOPInstanceUID for p in (tmp_path/'out').iterdir()}) == 2

def test_an_interrupted_write_leaves_no_file(tmp_path, monkeypatch):
    mammogram(tmp_path/'in'/'a.dcm')
    def broken(fd): raise KeyboardInterrupt
    monkeypatch.setattr(os, 'fsync', broken)
    with pytest.raises(KeyboardInterrupt): translate_dicom(translator(), tmp_path/'in', tmp_path/'out')
    assert not any((tmp_path/'out').iterdir())

def test_wrong_folders(tmp_path):
    t = translator()
    with pytest.raises(UserError, match='does not exist'): translate_dicom(t, tmp_path/'none', tmp_path/'out')
    (tmp_path/'empty').mkdir()
    with pytest.raises(UserError, match='holds no DICOM files'): translate_dicom(t, tmp_path/'empty', tmp_path/'out')
    path = mammogram(tmp_path/'in'/'a.dcm')
    for out in (tmp_path/'in', tmp_path/'in'/'out'):
        with pytest.raises(UserError, match='lies in'): translate_dicom(t, tmp_path/'in', out)
    with pytest.raises(UserError, match='is a file'): translate_dicom(t, tmp_path/'in', path)
    assert dicom_files(path) == [path]

def test_command(tmp_path):
    save_translator(translator(), tmp_path/'model')
    path = mammogram(tmp_path/'in'/'a.dcm')
    said = CliRunner().invoke(app, ['translate', str(tmp_path/'model'), str(path), str(tmp_path/'out'), '--device', 'cpu'])
    assert said.exit_code == 0 and said.output.splitlines()[-1] == '1 files were translated, 0 could not be.'
    path.write_bytes(b'')
    said = CliRunner().invoke(app, ['translate', str(tmp_path/'model'), str(path), str(tmp_path/'out')])
    assert said.exit_code == 2 and said.stderr.startswith('None of the 1 files could be translated. File 1')
    assert CliRunner().invoke(app, ['translate', str(tmp_path), str(path), str(tmp_path/'out')]).exit_code == 2

# --- real files

@pytest.mark.parametrize('name, n', [('ffdm_rsna_dicom', 7), ('film_dicom', 2)])
def test_real_files(tmp_path, name, n):
    if 'MAMMO_UDA_DATA' not in os.environ: pytest.skip('MAMMO_UDA_DATA is not set')
    done = translate_dicom(translator(size=256), Path(os.environ['MAMMO_UDA_DATA'])/name, tmp_path/'out')
    assert len(done) == n and done.reason.isna().all()
    for path, original in zip(done.file, dicom_files(Path(os.environ['MAMMO_UDA_DATA'])/name)):
        ds, old = dcmread(tmp_path/'out'/path), dcmread(original, stop_before_pixels=True)
        assert ds.ImageLaterality == (old.get('ImageLaterality') or old.Laterality) and ds.get('ViewPosition') == old.get('ViewPosition')
        assert old.PatientID not in str(ds.PatientID) and (read_image(tmp_path/'out'/path) > .05).mean() > .05
        if shutil.which('dciodvfy'): assert complaints(tmp_path/'out'/path) == []
