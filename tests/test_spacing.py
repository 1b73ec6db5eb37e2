"How large a pixel of a standardised image is, in mm, and that the translator knows it"
import os
from pathlib import Path

import numpy as np, pandas as pd, pytest
from PIL import Image
from pydicom.dataset import Dataset as Header
from pydicom.uid import ExplicitVRLittleEndian

from codings import header, save_dicom
from mammo_uda.core.files import UserError
from mammo_uda.data.dataset import Dataset
from mammo_uda.data.image import file_spacing, header_spacing, read_image
from mammo_uda.data.phantom import phantom_store
from mammo_uda.data.standardise import apply_frame, find_frame, read_standard, resize, shrink
from mammo_uda.data.store import PixelStore, build_store, write_store
from mammo_uda.experiment.sources import prepare_images
from mammo_uda.translate.networks import Generator
from mammo_uda.translate.translator import Translator, load_translator, save_translator

RADIUS = 60 # mm

def half_disc(mm, sheet=160):
    "A breast of `RADIUS` on a sheet of 160 mm, `mm` a pixel, uint16"
    y, x = (np.mgrid[:round(sheet/mm), :round(sheet/mm)] + .5)*mm
    inside = np.hypot(y-sheet/2, x) < RADIUS
    return (inside*(30000 + 500*np.random.default_rng(0).random(y.shape))).astype(np.uint16)

def dicom(path, mm, **tags):
    pixels = half_disc(mm)
    return save_dicom(path, header(pixels, 16, **tags), ExplicitVRLittleEndian, pixels.tobytes())

# --- what a header says

@pytest.mark.parametrize('mm, tags', [
    (.09, dict(PixelSpacing=[.09,.09], ImagerPixelSpacing=[.1,.1])), (.1, dict(ImagerPixelSpacing=[.1,.1])),
    (.08, dict(ImagerPixelSpacing=[.1,.1], EstimatedRadiographicMagnificationFactor=1.25)), (.05, dict(NominalScannedPixelSpacing=[.05,.05])),
    (.1, dict(PixelSpacing=None, ImagerPixelSpacing=[.1,.1], EstimatedRadiographicMagnificationFactor=None)),
    (.1, dict(PixelSpacing=[0,0], ImagerPixelSpacing=[.1,.1])), (np.nan, {}), (np.nan, dict(PixelSpacing=[.1,.2])),
    (np.nan, dict(PixelSpacing=[-.1,-.1])), (np.nan, dict(PixelSpacing='.1')), (np.nan, dict(ImagerPixelSpacing=['inf','inf']))])
def test_header(mm, tags):
    ds = Header()
    for tag, value in tags.items(): setattr(ds, tag, value)
    np.testing.assert_allclose(header_spacing(ds), mm)

def test_files_that_do_not_say(tmp_path):
    Image.fromarray(half_disc(1)).save(tmp_path/'a.png', dpi=(300,300))
    whole = dicom(tmp_path/'a.dcm', 1, PixelSpacing=[1,1]).read_bytes()
    (tmp_path/'cut.dcm').write_bytes(whole[:200])
    (tmp_path/'a.LEFT_CC.LJPEG').write_bytes(b'')
    for name in ('a.png', 'cut.dcm', 'a.LEFT_CC.LJPEG', 'none.dcm'): assert np.isnan(file_spacing(tmp_path/name))

def test_ddsm(tmp_path):
    from test_ddsm import ICS
    left, *others = ICS.partition('LEFT_MLO')
    other, *right = ''.join(others).partition('RIGHT_CC')
    (tmp_path/'A-1141-1.ics').write_text(left + other.replace('43.5', '50') + ''.join(right).replace('43.5', '0'))
    for view, mm in dict(LEFT_CC=.0435, LEFT_MLO=.05, RIGHT_CC=np.nan).items():
        (tmp_path/f'A_1141_1.{view}.LJPEG').write_bytes(b'its pixels do not matter')
        np.testing.assert_equal(file_spacing(tmp_path/f'A_1141_1.{view}.LJPEG'), mm)

# --- of the standardised image

@pytest.mark.parametrize('mm', [1, .5, .2, .1])
@pytest.mark.parametrize('size', [32, 64, 100])
def test_the_breast_measures_the_same_in_every_image(tmp_path, mm, size):
    "120 mm fill the picture, whether or not blocks were averaged before"
    *_, spacing = read_standard(dicom(tmp_path/'a.dcm', mm, ImagerPixelSpacing=[mm*1.5]*2, EstimatedRadiographicMagnificationFactor=1.5), None, size)
    assert spacing == pytest.approx(2*RADIUS/size, rel=.04)

def test_standardised_pixels_are_what_they_were(tmp_path):
    path = dicom(tmp_path/'a.dcm', .2)
    image = shrink(read_image(path), 32)
    np.testing.assert_array_equal(read_standard(path, None, 32)[0], apply_frame(image, find_frame(image), 32))

# --- in a store

def listed(folder, **columns):
    "Three breasts as DICOM files with 0.5 mm, as pictures, and one that is lost"
    for i in range(2):
        dicom(folder/f'{i}.dcm', .5, PixelSpacing=[.5,.5])
        Image.fromarray(half_disc(.5)).save(folder/f'{i}.png')
    rows = pd.DataFrame(dict(file=['0.dcm','0.png','1.dcm','lost.png','1.png'], patient=list('abcde'), label=[0,1]*2+[0], **columns))
    rows.to_csv(folder/'index.csv', index=False)
    return Dataset.from_csv(folder/'index.csv', 'film')

def test_in_the_index(tmp_path):
    store = build_store(listed(tmp_path), tmp_path/'s', 64, workers=1)
    mm = store.index['spacing']
    assert mm.isna().tolist() == [False, True, False, True] and mm[0] == mm[2] == pytest.approx(2*RADIUS/64, rel=.04)
    assert store.spacing() == mm[0] and store.spacing(label=1) is None

def test_the_list_wins(tmp_path):
    store = build_store(listed(tmp_path, spacing=['', .25, .25, .25, '']), tmp_path/'s', 64, workers=1)
    mm = store.index['spacing']
    np.testing.assert_allclose(mm/mm[0], [1, .5, .5, np.nan])

@pytest.mark.parametrize('bad', ['fifty', 50, 0, -.05, 'nan.'])
def test_a_spacing_that_cannot_be(tmp_path, bad):
    with pytest.raises(UserError, match='index.csv, row 3: spacing is .*; it must be mm a pixel'): listed(tmp_path, spacing=['', bad, '', '', ''])

def test_a_stopped_reading_goes_on_with_the_same_numbers(tmp_path):
    d = listed(tmp_path)
    whole = build_store(d, tmp_path/'whole', 64, workers=1)
    def stop(done, total):
        if done == 3: raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): build_store(d, tmp_path/'s', 64, workers=1, progress=stop)
    store = build_store(d, tmp_path/'s', 64, workers=1)
    assert store.index.equals(whole.index) and store.key == whole.key

def test_a_run_of_another_size(tmp_path):
    store = build_store(listed(tmp_path), tmp_path/'s', 64, workers=1)
    twelve = write_store(tmp_path/'twelve', [store[0]]*12, pd.DataFrame(dict(image_id=[f'i{i}' for i in range(12)], patient=[f'p{i}' for i in range(12)],
        label=[0,1]*6, domain='film', spacing=[.5, np.nan]*6)), 64)
    prepare_images(tmp_path/'small', None, twelve.folder, 'film', size=32, seed=0, key='k')
    np.testing.assert_allclose(PixelStore(tmp_path/'small').index['spacing'], [1, np.nan]*6)

def test_stores_without(tmp_path):
    store = phantom_store(tmp_path/'s', 'film', patients=1, size=32)
    assert store.index['spacing'].isna().all() and store.spacing() is None

def test_translator_keeps_it(tmp_path):
    net = Generator(filters=4, blocks=1)
    for spacing in (.35, None):
        save_translator(Translator(net, 'film', 'digital', 64, spacing=spacing), tmp_path/f'{spacing}')
        assert load_translator(tmp_path/f'{spacing}', 'cpu').spacing == spacing

# --- real files

def test_real_files_that_do_not_say():
    if 'MAMMO_UDA_DATA' not in os.environ: pytest.skip('MAMMO_UDA_DATA is not set')
    files = sorted(Path(os.environ['MAMMO_UDA_DATA']).rglob('*.dcm'))
    assert len(files) == 9 and all(np.isnan(file_spacing(f)) for f in files)

def test_real_film_of_ddsm():
    if 'MAMMO_UDA_DATA' not in os.environ: pytest.skip('MAMMO_UDA_DATA is not set')
    files = [p for p in (Path(os.environ['MAMMO_UDA_DATA'])/'film_ljpeg').rglob('*') if p.suffix.lower() == '.ljpeg']
    assert files
    for f in files: assert np.isnan(file_spacing(f)) or .03 < file_spacing(f) < .06
