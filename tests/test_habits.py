"What real files leave out, get wrong or fill differently: the right value, and a note of what was assumed"
import json
import imagecodecs
import numpy as np, pandas as pd, pytest
from PIL import Image
from pydicom.dataset import Dataset as Header
from pydicom.uid import (DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ExplicitVRLittleEndian, HTJ2KLossless, ImplicitVRLittleEndian,
                         JPEG2000Lossless, JPEGLossless, JPEGLSLossless, RLELossless)
from pydicom.pixels import get_encoder

from codings import film, header, save_coded, save_dicom
from mammo_uda.core.files import UnreadableImage, visible_files
from mammo_uda.data.dataset import Dataset, read_header
from mammo_uda.data.describe import describe
from mammo_uda.data.image import LEFT_OUT, NOTES, file_spacing, read_image, read_noted
from mammo_uda.data.ingest import ingest_notes
from mammo_uda.data.store import PixelStore, build_store
from mammo_uda.translate.dicom import dicom_files

PIXELS = film()

def saved(path, syntax=ExplicitVRLittleEndian, pixels=PIXELS, **tags):
    "A film with these tags; texts that are no numbers go in as they are"
    ds = header(pixels, **{tag: value for tag, value in tags.items() if value != 'text'})
    for tag in [tag for tag, value in tags.items() if value == 'text']: ds.add_new(tag, 'LO', 'unknown')
    return save_dicom(path, ds, syntax, pixels.tobytes())

# --- a tag that says nothing

OPTIONAL = ['RescaleSlope', 'RescaleIntercept', 'WindowCenter', 'WindowWidth', 'PixelPaddingValue', 'PixelPaddingRangeLimit', 'NumberOfFrames',
            'EstimatedRadiographicMagnificationFactor', 'PixelSpacing', 'ImagerPixelSpacing', 'NominalScannedPixelSpacing', 'HighBit']

@pytest.mark.parametrize('syntax', [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
@pytest.mark.parametrize('value', [None, 'text'])
@pytest.mark.parametrize('tag', OPTIONAL)
def test_a_tag_without_a_number_counts_as_absent(tmp_path, tag, value, syntax):
    path = saved(tmp_path/'a.dcm', syntax, **{tag: value})
    image, notes = read_noted(path)
    np.testing.assert_allclose(image, PIXELS/4095, atol=1e-6)
    assert np.isnan(file_spacing(path))
    assert notes == [] or (notes == ['header'] and value == 'text')

@pytest.mark.parametrize('tag, other', [('WindowCenter', {'WindowWidth': 100}), ('WindowWidth', {'WindowCenter': 100}),
                                        ('RescaleSlope', {'RescaleIntercept': 7}), ('VOILUTFunction', {'WindowCenter': 2047.5, 'WindowWidth': 4096})])
def test_the_half_of_a_pair_that_is_there(tmp_path, tag, other):
    "An empty half is as an absent one"
    empty, absent = [read_image(saved(tmp_path/name, **tags)) for name, tags in (('a.dcm', other | {tag: None}), ('b.dcm', other))]
    np.testing.assert_array_equal(empty, absent)

def test_a_window_of_several_parts_is_the_first(tmp_path):
    tags = dict(WindowCenter=[2000, 5], WindowWidth=[3000, 1], VOILUTFunction=['SIGMOID', 'LINEAR'])
    one = {tag: values[0] for tag, values in tags.items()}
    np.testing.assert_array_equal(read_image(saved(tmp_path/'a.dcm', **tags)), read_image(saved(tmp_path/'b.dcm', **one)))

def test_a_slope_of_nothing_says_nothing(tmp_path):
    np.testing.assert_allclose(read_image(saved(tmp_path/'a.dcm', RescaleSlope=0)), PIXELS/4095, atol=1e-6)

@pytest.mark.parametrize('tags', [dict(RescaleSlope='1e300'), dict(WindowCenter='1e300', WindowWidth='1e300')])
def test_numbers_of_absurd_size_are_refused(tmp_path, tags):
    with pytest.raises(UnreadableImage): read_image(saved(tmp_path/'a.dcm', **tags))

# --- sequences

def table(data, bits=12, first=0):
    item = Header()
    item.add_new('LUTDescriptor', 'US', [len(data), first, bits])
    item.add_new('LUTData', 'US', data)
    return item

def empty(what):
    item = Header()
    descriptor, data = {'nothing': (None, None), 'no data': ([4096, 0, 12], None), 'no descriptor': (None, [1, 2]),
                        'short': ([4096, 0, 12], [1, 2, 3]), 'black': ([3, 0, 12], [0, 0, 0])}[what]
    item.add_new('LUTDescriptor', 'US', descriptor)
    item.add_new('LUTData', 'US', data)
    return item

@pytest.mark.parametrize('what', ['nothing', 'no data', 'no descriptor', 'short', 'black'])
def test_a_window_beside_an_empty_table(tmp_path, what):
    window = dict(WindowCenter=1000, WindowWidth=2000)
    image, notes = read_noted(saved(tmp_path/'a.dcm', VOILUTSequence=[empty(what)], **window))
    np.testing.assert_array_equal(image, read_image(saved(tmp_path/'b.dcm', **window)))
    assert notes == ['header']

@pytest.mark.parametrize('what', ['nothing', 'no data', 'short'])
def test_a_slope_beside_an_empty_table(tmp_path, what):
    tags = dict(RescaleSlope=2, RescaleIntercept=-100, WindowCenter=1000, WindowWidth=2000)
    image = read_image(saved(tmp_path/'a.dcm', ModalityLUTSequence=[empty(what)], **tags))
    np.testing.assert_array_equal(image, read_image(saved(tmp_path/'b.dcm', **tags)))

def test_the_first_whole_table_is_used(tmp_path):
    turned = table([4095 - i for i in range(4096)])
    image = read_image(saved(tmp_path/'a.dcm', VOILUTSequence=[empty('nothing'), turned]))
    np.testing.assert_allclose(image, 1 - PIXELS/4095, atol=1e-6)

@pytest.mark.parametrize('kind', ['VOILUTSequence', 'ModalityLUTSequence'])
@pytest.mark.parametrize('bits', [8, 12, 14, 16])
def test_a_table_of_12_bits_whatever_it_says(tmp_path, kind, bits):
    image, notes = read_noted(saved(tmp_path/'a.dcm', **{kind: [table(list(range(4096)), bits)]}))
    np.testing.assert_allclose(image, PIXELS/4095, atol=1e-6)
    assert notes == ([] if bits == 12 else ['table'])

# --- bits

def encoded(pixels, syntax):
    "16 bits of each pixel, whatever the header says"
    raw = pixels.view(np.uint16)
    if syntax == RLELossless:
        about = dict(rows=len(raw), columns=raw.shape[1], samples_per_pixel=1, bits_allocated=16, bits_stored=16, pixel_representation=0,
                     photometric_interpretation='MONOCHROME2', number_of_frames=1)
        return next(get_encoder(RLELossless).iter_encode(raw, **about))
    if syntax == ExplicitVRBigEndian: return raw.astype('>u2').tobytes()
    coders = {JPEGLossless: lambda p: imagecodecs.ljpeg_encode(p, bitspersample=16), JPEGLSLossless: imagecodecs.jpegls_encode,
              JPEG2000Lossless: lambda p: imagecodecs.jpeg2k_encode(p, codecformat='j2k', reversible=True, level=0),
              HTJ2KLossless: lambda p: imagecodecs.htj2k_encode(p, reversible=True)}
    return coders.get(syntax, np.ndarray.tobytes)(raw)

WHOLE = [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEGLossless,
         JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless]
NOISE = np.random.default_rng(1).integers(0, 16, PIXELS.shape).astype(np.uint16) << 12

@pytest.mark.parametrize('syntax', WHOLE, ids=lambda o: o.name)
@pytest.mark.parametrize('signed', [False, True])
def test_what_stands_above_bits_stored_is_cut_off(tmp_path, syntax, signed):
    "An overlay or noise in bits 12 to 15; the sign is bit 11"
    numbers = (PIXELS.astype(int) - 2048*signed) & 0xfff
    pixels = numbers.astype(np.uint16) | NOISE
    ds = header(pixels, PixelRepresentation=int(signed))
    image, notes = read_noted(save_dicom(tmp_path/'a.dcm', ds, syntax, encoded(pixels, syntax)))
    np.testing.assert_allclose(image, PIXELS/4095, atol=1e-6)
    assert notes == ['bits-above']

@pytest.mark.parametrize('syntax', WHOLE, ids=lambda o: o.name)
def test_signed_numbers_need_no_note(tmp_path, syntax):
    pixels = PIXELS.astype(np.int16) - 2048
    image, notes = read_noted(save_dicom(tmp_path/'a.dcm', header(pixels, PixelRepresentation=1), syntax, encoded(pixels, syntax)))
    np.testing.assert_allclose(image, PIXELS/4095, atol=1e-6)
    assert notes == []

@pytest.mark.parametrize('encode', [lambda p: imagecodecs.jpeg2k_encode(p, codecformat='j2k', reversible=True, level=0, bitspersample=12),
                                    lambda p: imagecodecs.jpeg2k_encode(p.view(np.uint16) & 0xfff, codecformat='j2k', reversible=True, level=0, bitspersample=12)])
def test_jpeg_2000_of_12_bits_with_a_sign_or_without(tmp_path, encode):
    "Files exist whose code stream says that there is no sign, and whose header says that there is one"
    pixels = PIXELS.astype(np.int16) - 2048
    image = read_image(save_dicom(tmp_path/'a.dcm', header(pixels, PixelRepresentation=1), JPEG2000Lossless, encode(pixels)))
    np.testing.assert_allclose(image, PIXELS/4095, atol=1e-6)

@pytest.mark.parametrize('syntax', [ExplicitVRLittleEndian, RLELossless, JPEG2000Lossless], ids=lambda o: o.name)
@pytest.mark.parametrize('shift, notes', [(4, []), (0, ['bits-low'])])
def test_numbers_in_the_highest_bits_and_numbers_that_are_only_said_to_be(tmp_path, syntax, shift, notes):
    pixels = PIXELS << np.uint16(shift)
    path = save_dicom(tmp_path/'a.dcm', header(pixels, HighBit=15), syntax, encoded(pixels, syntax))
    image, found = read_noted(path)
    np.testing.assert_allclose(image, PIXELS/4095, atol=1e-6)
    assert found == notes

@pytest.mark.parametrize('padding', [dict(PixelPaddingValue=63536), dict(PixelPaddingValue=60000, PixelPaddingRangeLimit=63536)])
def test_padding_above_bits_stored(tmp_path, padding):
    "It is neither cut down to a grey level nor noted as an overlay"
    pixels = PIXELS.copy()
    pixels[:, -20:] = 63536
    image, notes = read_noted(saved(tmp_path/'a.dcm', pixels=pixels, **padding))
    assert not image[:, -20:].any() and notes == []
    np.testing.assert_allclose(image[:, :-20], PIXELS[:, :-20]/4095, atol=1e-6)

# --- numbers of fewer bits than their type

@pytest.mark.parametrize('name', ['a.png', 'a.tif', 'a.pgm'])
def test_a_picture_of_12_bits_in_16(tmp_path, name):
    Image.fromarray(PIXELS).save(tmp_path/name)
    image, notes = read_noted(tmp_path/name)
    np.testing.assert_allclose(image, PIXELS/65535, atol=1e-6)
    assert notes == ['bits 12 of 16']

@pytest.mark.parametrize('tags, notes', [({}, ['bits 12 of 16']), (dict(WindowCenter=2048, WindowWidth=4096), []),
                                         (dict(VOILUTSequence=[table(list(range(4096)))]), [])])
def test_a_dicom_file_of_12_bits_in_16(tmp_path, tags, notes):
    "Where a window or a table says what to show, the range of the type does not matter"
    assert read_noted(saved(tmp_path/'a.dcm', BitsStored=16, HighBit=15, **tags))[1] == notes

def test_a_set_of_12_bits_in_16_is_told_of_once(tmp_path):
    for i in range(3): Image.fromarray(film(64, seed=i)).save(tmp_path/f'{i}.png')
    Image.fromarray(film(64, seed=9)*16).save(tmp_path/'9.png')
    store = listed(tmp_path, ['0.png', '1.png', '2.png', '9.png'])
    said = [note for note in ingest_notes(store) if 'bits' in note]
    assert len(said) == 1 and said[0].startswith('The largest value of 3 images uses only 12 of 16 bits')
    found = describe(store)
    assert any('3 images uses only 12 of 16 bits' in note for note in found.reading) and 'film' in repr(found)
    assert found.ranges['lowest'][0] < 1/16 < .8 < found.ranges['highest'][0]

# --- pictures saved as something else

GREY = np.arange(256, dtype=np.uint8).reshape(16, 16)

def colours(alpha=255, kind=np.uint8):
    grey = GREY.astype(kind)*(257 if kind == np.uint16 else 1)
    return np.dstack([grey]*3 + [np.full_like(grey, alpha)])

@pytest.mark.parametrize('name', ['a.png', 'a.tif'])
@pytest.mark.parametrize('make', [lambda: Image.fromarray(colours()), lambda: Image.fromarray(GREY).convert('LA'), lambda: Image.fromarray(GREY).convert('RGB'),
                                  lambda: Image.fromarray(GREY).convert('P')], ids=['RGBA', 'LA', 'RGB', 'P'])
def test_grey_whatever_it_was_saved_as(tmp_path, name, make):
    make().save(tmp_path/name)
    np.testing.assert_allclose(read_image(tmp_path/name), GREY/255, atol=1e-6)

@pytest.mark.parametrize('channels', [2, 3, 4])
def test_16_bits_stay_16_bits(tmp_path, channels):
    "Also in the channels of a colour picture"
    grey = (np.arange(256, dtype=np.uint16)*255 + 77).reshape(16, 16)
    alpha = [np.full_like(grey, 65535)]*(channels % 2 == 0)
    (tmp_path/'a.png').write_bytes(imagecodecs.png_encode(np.dstack([grey]*(1 if channels == 2 else 3) + alpha)))
    np.testing.assert_allclose(read_image(tmp_path/'a.png'), grey/65535, atol=1e-6)

@pytest.mark.parametrize('make, reason', [
    (lambda: Image.fromarray(colours(200)), 'transparent'), (lambda: Image.fromarray(np.roll(colours(), 1, 2)), 'transparent|colour'),
    (lambda: Image.fromarray(np.dstack([GREY, GREY, 255-GREY])), 'colour'), (lambda: Image.fromarray(GREY).convert('1'), 'not grey'),
    (lambda: Image.fromarray(np.dstack([GREY, 255-GREY, GREY])).quantize(16), 'colour')])
def test_pictures_that_are_not_grey(tmp_path, make, reason):
    make().save(tmp_path/'a.png')
    with pytest.raises(UnreadableImage, match=reason): read_image(tmp_path/'a.png')

# --- other mammograms

def view(code):
    modifier, item = Header(), Header()
    modifier.CodeValue, modifier.CodingSchemeDesignator, modifier.CodeMeaning = code, 'SCT', 'a modifier'
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning, item.ViewModifierCodeSequence = '399162004', 'SCT', 'cranio-caudal', [modifier]
    return dict(ViewCodeSequence=[item])

OTHERS = {'c-view': (dict(ImageType=['DERIVED', 'PRIMARY', 'TOMOSYNTHESIS', 'GENERATED_2D']), 'tomosynthesis'),
          'generated': (dict(ImageType=['DERIVED', 'PRIMARY', '', 'GENERATED_2D']), 'tomosynthesis'),
          'slice': (dict(ImageType=['DERIVED', 'PRIMARY', 'TOMOSYNTHESIS']), 'tomosynthesis'),
          'magnified': (dict(EstimatedRadiographicMagnificationFactor=1.8), 'magnified'), 'coded': (view('399163009'), 'magnified'),
          'spot': (view('399055006'), 'spot'), 'biopsy': (dict(ImageType=['ORIGINAL', 'PRIMARY', 'STEREO_MINUS']), 'biopsy'),
          'contrast': (dict(ImageType=['DERIVED', 'PRIMARY', 'POST_CONTRAST', 'SUBTRACTION', 'LOW_ENERGY']), 'contrast')}
USUAL = {'plain': {}, 'original': dict(ImageType=['ORIGINAL', 'PRIMARY', '']), 'contact': dict(EstimatedRadiographicMagnificationFactor=1.1),
         'rolled': view('399197002'), 'low energy': dict(ImageType=['ORIGINAL', 'PRIMARY', 'POST_CONTRAST', '', 'LOW_ENERGY']),
         'empty': dict(ImageType=None, ViewCodeSequence=[Header()])}

def listed(folder, files, **options):
    rows = pd.DataFrame({'path': files, 'patient': [str(i) for i in range(len(files))], 'label': '0'})
    return build_store(Dataset.from_rows(rows, folder, 'film'), folder/'store', 32, workers=1, **options)

def test_other_mammograms_are_left_out_counted_and_named(tmp_path):
    tags = {name: tags for name, (tags, _) in OTHERS.items()} | USUAL | {'displaced': view('399209000')}
    for name, found in tags.items(): saved(tmp_path/f'{name}.dcm', pixels=film(64), **found)
    store = listed(tmp_path, [f'{name}.dcm' for name in tags])
    reasons = store.rejected.set_index('row')['reason'].to_dict()
    assert reasons == {row: LEFT_OUT[kind] for row, (_, kind) in enumerate(OTHERS.values(), 1)}
    assert store.index['notes'].tolist() == ['']*len(USUAL) + ['implant-displaced']
    said = ingest_notes(store)
    assert f"3 images were left out: {LEFT_OUT['tomosynthesis']}." in said and '1 images are implant-displaced views; they were kept.' in said
    assert [f'film: {note[0].lower()}{note[1:]}' for note in said if 'left out' in note or 'displaced' in note] == \
           [note for note in describe(store).reading if 'left out' in note or 'displaced' in note]

def test_other_mammograms_may_be_kept(tmp_path):
    saved(tmp_path/'a.dcm', pixels=film(64), **OTHERS['c-view'][0])
    saved(tmp_path/'b.dcm', pixels=film(64), **OTHERS['spot'][0])
    store = listed(tmp_path, ['a.dcm', 'b.dcm'], without=['spot'])
    assert store.index['notes'].tolist() == ['tomosynthesis'] and store.rejected['reason'].tolist() == [LEFT_OUT['spot']]
    assert any('1 images were kept though each is' in note for note in ingest_notes(store))

def test_every_note_has_a_sentence():
    for sentence in NOTES.values(): assert sentence.format(n=3, detail='12 of 16').isprintable() and '{n}' in sentence

# --- notes in a store

def test_a_store_without_the_column_opens(tmp_path):
    saved(tmp_path/'a.dcm')
    store = listed(tmp_path, ['a.dcm'])
    store.index.drop(columns='notes').to_parquet(tmp_path/'store'/'index.parquet', index=False)
    old = PixelStore(tmp_path/'store')
    assert old.index['notes'].tolist() == [''] and len(old.notes()) == 1 # the side is taken from the pixels

def test_notes_outlive_a_stop(tmp_path):
    for i in range(3): Image.fromarray(film(64, seed=i)).save(tmp_path/f'{i}.png')
    def stop(done, total):
        if done == 2: raise KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt): listed(tmp_path, ['0.png', '1.png', '2.png'], progress=stop)
    line, = [json.loads(o) for o in (tmp_path/'store.making'/'read.jsonl').read_text().splitlines()[1:2]]
    assert line[1] == 'bits 12 of 16'
    assert listed(tmp_path, ['0.png', '1.png', '2.png']).index['notes'].tolist() == ['bits 12 of 16']*3

# --- hidden files

HIDDEN = ['._a.dcm', '.hidden/b.dcm', 'deep/._c.dcm']

def test_names_that_begin_with_a_dot_are_never_looked_at(tmp_path): # but the folder that is named may begin so
    for name in (*HIDDEN, 'a.dcm', 'deep/c.dcm'):
        (tmp_path/'.in'/name).parent.mkdir(parents=True, exist_ok=True)
        saved(tmp_path/'.in'/name, pixels=film(64), PatientID='P1')
    seen = [p.relative_to(tmp_path/'.in').as_posix() for p in visible_files(tmp_path/'.in')]
    assert seen == ['a.dcm', 'deep/c.dcm'] == [p.relative_to(tmp_path/'.in').as_posix() for p in dicom_files(tmp_path/'.in')]
    (tmp_path/'.in'/'deep'/'.copy').mkdir()
    saved(tmp_path/'.in'/'deep'/'.copy'/'a.dcm', pixels=film(64))
    (tmp_path/'labels.csv').write_text('file,label\na.dcm,0\nc.dcm,1\n')
    dataset = Dataset.from_dicom(tmp_path/'.in', tmp_path/'labels.csv', 'film') # 'a.dcm' means one file only
    assert dataset.table['path'].tolist() == ['a.dcm', 'deep/c.dcm']

# --- what else a header says

@pytest.mark.parametrize('value, side', [('L', 'L'), ('l', 'L'), ('LEFT', 'L'), ('B', None), (['R', 'L'], 'R'), (None, None)])
def test_the_side_that_a_header_says(tmp_path, value, side):
    path = saved(tmp_path/'a.dcm', ImageLaterality=value, PatientID='P1', ViewPosition=['MLO', 'CC'])
    assert read_header(path) == {'patient': 'P1', 'laterality': side, 'view': 'MLO'}
