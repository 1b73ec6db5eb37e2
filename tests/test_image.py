"Reading mammograms: every step of the DICOM grey-scale pipeline, other formats, and files that are none"
import os
from pathlib import Path
import numpy as np, pytest
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (ExplicitVRLittleEndian, RLELossless, DigitalMammographyXRayImageStorageForPresentation,
                         DigitalMammographyXRayImageStorageForProcessing, EnhancedCTImageStorage)
from mammo_uda.core.files import UnreadableImage
from mammo_uda.data.image import look_up, read_image, render, refuse

PIXELS = np.arange(4096, dtype=np.uint16).reshape(64,64)

def header(pixels=PIXELS, **tags):
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = DigitalMammographyXRayImageStorageForPresentation, '1.2.3'
    ds.PresentationIntentType = 'FOR PRESENTATION'
    ds.Rows, ds.Columns = pixels.shape
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, 'MONOCHROME2'
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.PixelData = pixels.tobytes()
    for tag,value in tags.items(): setattr(ds, tag, value)
    return ds

def save(ds, path, compress=None):
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds.file_meta.MediaStorageSOPClassUID, ds.file_meta.MediaStorageSOPInstanceUID = ds.SOPClassUID, '1.2.3'
    if compress: ds.compress(compress)
    ds.save_as(path, enforce_file_format=True)
    return path

def table(data, first=0, bits=8):
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(data), first, bits], list(data)
    return item

def real(name):
    if 'MAMMO_UDA_DATA' not in os.environ: pytest.skip('MAMMO_UDA_DATA is not set')
    return Path(os.environ['MAMMO_UDA_DATA'])/name

@pytest.mark.parametrize('compress', [None, RLELossless])
def test_a_file_without_voi_spans_its_type(tmp_path, compress):
    image = read_image(save(header(), tmp_path/'a.dcm', compress))
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, PIXELS/4095, atol=1e-6)

def test_signed_pixels_span_their_type():
    stored = PIXELS.astype(np.int16) - 2048
    np.testing.assert_allclose(render(stored, header(PixelRepresentation=1)), PIXELS/4095, atol=1e-6)

@pytest.mark.parametrize('slope,intercept', [(1,0), (2,-1024), (.5,7), (-1,4095)])
def test_rescale_alone_keeps_the_whole_range(slope, intercept):
    expected = PIXELS/4095 if slope>0 else 1 - PIXELS/4095
    np.testing.assert_allclose(render(PIXELS, header(RescaleSlope=slope, RescaleIntercept=intercept)), expected, atol=1e-6)

def test_a_window_is_in_rescaled_units():
    ds = header(RescaleSlope=2, RescaleIntercept=-1000, WindowCenter=1000, WindowWidth=2000, VOILUTFunction='LINEAR_EXACT')
    np.testing.assert_allclose(render(PIXELS, ds), np.clip((PIXELS*2.-1000)/2000, 0, 1), atol=1e-6)

def test_a_modality_table_sets_the_range():
    ds = header(ModalityLUTSequence=[table([i//16 for i in range(4096)])])
    np.testing.assert_allclose(render(PIXELS, ds), PIXELS//16/255, atol=1e-6)

def test_exposure_differences_survive():
    window = dict(WindowCenter=2048, WindowWidth=4096)
    dim, bright = [render(PIXELS//o, header(**window)) for o in (4, 2)]
    assert bright.max() == pytest.approx(2*dim.max(), rel=1e-3)

def test_voi_table_goes_before_a_window():
    ds = header(VOILUTSequence=[table(range(0,1024), first=1000, bits=10)], WindowCenter=1, WindowWidth=2)
    np.testing.assert_allclose(render(PIXELS, ds), np.clip(PIXELS.astype(int)-1000, 0, 1023)/1023, atol=1e-6)

@pytest.mark.parametrize('bits,kind', [(8,np.uint8), (8,np.uint16), (16,np.uint16)])
def test_a_table_stored_as_bytes(bits, kind):
    item, data = Dataset(), np.arange(256, dtype=kind)*(1 if bits==8 else 257)
    item.LUTDescriptor = [256, 0, bits]
    item.add_new('LUTData', 'OW', data.astype(f'<u{data.itemsize}').tobytes())
    np.testing.assert_array_equal(look_up(np.array([0,3,255,999]), item), data[[0,3,255,255]])

def test_the_first_of_several_windows_is_used():
    one, four = [header(WindowCenter=c, WindowWidth=w, VOILUTFunction='SIGMOID') for c,w in ((1800,1100), ([1800,9,9,9],[1100,5,5,5]))]
    np.testing.assert_array_equal(render(PIXELS, one), render(PIXELS, four))

@pytest.mark.parametrize('tags', [dict(WindowCenter=9, WindowWidth=1), dict(WindowCenter=9, WindowWidth=9, VOILUTFunction='CUBIC')])
def test_windows_outside_the_standard_are_refused(tags):
    with pytest.raises(UnreadableImage): render(PIXELS, header(**tags))

def test_monochrome1_is_turned_over_after_the_window():
    window = dict(WindowCenter=1000, WindowWidth=800)
    white, black = [render(PIXELS, header(PhotometricInterpretation=o, **window)) for o in ('MONOCHROME1','MONOCHROME2')]
    np.testing.assert_allclose(white, 1-black)

def test_photometric_overrides_the_header():
    np.testing.assert_allclose(render(PIXELS, header(), 'MONOCHROME1'), 1-PIXELS/4095, atol=1e-6)
    np.testing.assert_allclose(render(PIXELS, header(PhotometricInterpretation='MONOCHROME1'), 'MONOCHROME1'), 1-PIXELS/4095, atol=1e-6)

@pytest.mark.parametrize('tags,padded', [
    (dict(PixelPaddingValue=0), PIXELS==0),
    (dict(PixelPaddingValue=3000, PixelPaddingRangeLimit=4095), PIXELS>=3000),
    (dict(PixelPaddingValue=4095, PixelPaddingRangeLimit=3000), PIXELS>=3000)])
def test_padding_is_air_in_both_polarities(tags, padded):
    for photometric in 'MONOCHROME1','MONOCHROME2':
        plain, image = render(PIXELS, header(PhotometricInterpretation=photometric)), render(PIXELS, header(PhotometricInterpretation=photometric, **tags))
        assert not image[padded].any()
        np.testing.assert_array_equal(image[~padded], plain[~padded])

@pytest.mark.parametrize('tags,reason', [
    (dict(PresentationIntentType='FOR PROCESSING'), 'FOR PROCESSING'),
    (dict(SOPClassUID=DigitalMammographyXRayImageStorageForProcessing), 'FOR PROCESSING'),
    (dict(NumberOfFrames=2), 'more than one frame'),
    (dict(PhotometricInterpretation='RGB'), 'colour')])
def test_what_is_refused(tags, reason):
    with pytest.raises(UnreadableImage, match=reason): refuse(header(**tags))

def test_other_sop_classes_are_not_taken_for_raw():
    refuse(header(SOPClassUID=EnhancedCTImageStorage))

def test_dicom_without_pixels(tmp_path):
    ds = header()
    del ds.PixelData
    with pytest.raises(UnreadableImage, match='without an image'): read_image(save(ds, tmp_path/'a.dcm'))

@pytest.mark.parametrize('name', ['a.png','a.tif','a.pgm'])
@pytest.mark.parametrize('kind', [np.uint8, np.uint16])
def test_pictures_span_their_type(tmp_path, name, kind):
    top = np.iinfo(kind).max
    pixels = np.linspace(0, top//2, 100).astype(kind).reshape(10,10) # half the range stays half the range
    Image.fromarray(pixels).save(tmp_path/name)
    image = read_image(tmp_path/name)
    assert image.dtype == np.float32
    np.testing.assert_allclose(image, pixels/top, atol=1e-6)

def test_a_pgm_with_a_maximum_of_its_own(tmp_path):
    (tmp_path/'a.pgm').write_bytes(b'P5 2 1 4095\n' + np.array([0,4095], '>u2').tobytes())
    np.testing.assert_allclose(read_image(tmp_path/'a.pgm'), [[0,1]])

@pytest.mark.parametrize('kind', [np.uint8, np.uint16])
def test_tiff_where_white_is_zero(tmp_path, kind):
    pixels, top = np.arange(100, dtype=kind).reshape(10,10), np.iinfo(kind).max
    Image.fromarray(pixels).save(tmp_path/'a.tif', tiffinfo={262: 0})
    stored = np.asarray(Image.open(tmp_path/'a.tif')) # Pillow has turned 8 bits over already
    expected = stored/top if kind is np.uint8 else 1-stored/top
    np.testing.assert_allclose(read_image(tmp_path/'a.tif'), expected, atol=1e-6)

def test_three_equal_channels_are_grey(tmp_path):
    pixels = np.arange(100, dtype=np.uint8).reshape(10,10)
    Image.fromarray(np.stack([pixels]*3, -1)).save(tmp_path/'a.png')
    np.testing.assert_allclose(read_image(tmp_path/'a.png'), pixels/255, atol=1e-6)

def test_a_picture_turned_over(tmp_path):
    pixels = np.arange(100, dtype=np.uint8).reshape(10,10)
    Image.fromarray(255-pixels).save(tmp_path/'a.png')
    np.testing.assert_allclose(read_image(tmp_path/'a.png', 'MONOCHROME1'), pixels/255, atol=1e-6)

def bad_files(folder):
    save(header(), folder/'whole.dcm')
    save(header(), folder/'whole_rle.dcm', RLELossless)
    grey = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64,64), dtype=np.uint8))
    for name in 'png','jpg','tif','pgm': grey.save(folder/f'whole.{name}')
    for whole in sorted(folder.glob('whole*')):
        data = whole.read_bytes()
        (folder/whole.name.replace('whole','cut')).write_bytes(data[:len(data)//2])
        whole.unlink()
    (folder/'empty.png').touch()
    (folder/'text.dcm').write_text('No abnormality seen.')
    (folder/'folder.dcm').mkdir()
    save(header(PIXELS*0), folder/'black.dcm')
    Image.fromarray(np.zeros((8,8), np.uint8)).save(folder/'black.png')
    Image.fromarray(np.full((8,8), 99, np.uint8)).save(folder/'grey.png')
    Image.fromarray(np.zeros((8,8,4), np.uint8)).save(folder/'rgba.png')
    grey.save(folder/'pages.tif', save_all=True, append_images=[grey])
    Image.fromarray(np.ones((8,8), np.float32)).save(folder/'float.tif')
    Image.fromarray(np.full((8,8), 4095, np.int32)).save(folder/'int32.tif')
    return [*sorted(folder.iterdir()), folder/'missing.png']

def test_broken_files_are_unreadable_with_a_reason_without_path(tmp_path):
    for path in bad_files(tmp_path):
        with pytest.raises(UnreadableImage) as e: read_image(path)
        assert 5 < len(str(e.value)) < 80 and '\n' not in str(e.value) and str(tmp_path) not in str(e.value), path.name

@pytest.mark.parametrize('name,photometric,shape', [('10006_1864590858.dcm','MONOCHROME1',(5355,4915)), ('10011_220375232.dcm','MONOCHROME2',(2776,2082))])
def test_real_digital_dicom(name, photometric, shape):
    image = read_image(real('ffdm_rsna_dicom')/name)
    assert (image.shape, image.dtype) == (shape, np.float32) and 0 <= image.min() and image.max() <= 1
    assert np.median(image) < .02 # most of a mammogram is air, in either polarity
    np.testing.assert_array_equal(image, read_image(real('ffdm_rsna_dicom')/name, photometric))

def test_real_film_dicom():
    image = read_image(real('film_dicom/MG1_J2KI.dcm'))
    assert image.shape == (4664,3064) and image.max() == 1

@pytest.mark.parametrize('share', [.02, .5, .98])
def test_a_truncated_real_dicom(tmp_path, share):
    data = real('ffdm_rsna_dicom/10011_220375232.dcm').read_bytes()
    (tmp_path/'cut.dcm').write_bytes(data[:int(len(data)*share)])
    with pytest.raises(UnreadableImage): read_image(tmp_path/'cut.dcm')
