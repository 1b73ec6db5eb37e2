"DDSM: headers, lossless JPEG as PVRG-JPEG writes it, optical density, outlines of lesions, and files that are none of these"
import os, struct, warnings
from pathlib import Path
import imagecodecs, numpy as np, pytest
from mammo_uda.core.files import UnreadableImage, UserError
from mammo_uda.data.ddsm import (CURVES, VIEWS, View, decode_ljpeg, follow_chain, lesion_mask, optical_density, read_ics, read_ljpeg,
                                 read_overlay, rebuild_pvrg)

# --- an encoder that shares nothing with the package

LENGTHS = [3, 3, 3, 4, 4, 4, 4, 4, 5, 5, 6, 6, 7, 8, 9, 10, 11] # of the Huffman code of each category, rising

def huffman():
    "Canonical code of each category, as text"
    codes, code, length = [], 0, LENGTHS[0]
    for n in LENGTHS:
        code, length = code << n-length, n
        codes.append(f'{code:0{n}b}')
        code += 1
    return codes

def predict(x, i, j, predictor, half, pvrg):
    "The prediction of one pixel; `pvrg`: the predictor goes on in the first line, below a line of half of the range"
    if i == j == 0: return half
    if j == 0: return x[i-1,0]
    if i == 0 and not pvrg: return x[0,j-1]
    a, b, c = (x[i,j-1], x[i-1,j], x[i-1,j-1]) if i else (x[0,j-1], half, half)
    return {1: a, 2: b, 3: c, 4: a+b-c, 5: a + (b-c >> 1), 6: b + (a-c >> 1), 7: a+b >> 1}[predictor]

def coded(x, predictor, half, pvrg):
    "The image data of a lossless JPEG file"
    x, codes, text = x.astype(int), huffman(), ''
    for i in range(x.shape[0]):
        for j in range(x.shape[1]):
            d = (int(x[i,j] - predict(x, i, j, predictor, half, pvrg)) + 2**15) % 2**16 - 2**15
            size = abs(d).bit_length()
            text += codes[size]
            if 0 < size < 16: text += f'{d if d > 0 else d + 2**size - 1:0{size}b}'
    text += '1'*(-len(text)%8)
    return bytes(int(text[i:i+8], 2) for i in range(0, len(text), 8)).replace(b'\xff', b'\xff\0')

def segment(marker, content): return struct.pack('>HH', marker, len(content)+2) + content

def encode(x, predictor, bits=12, pvrg=True, sof=0xffc3, extra=b'', size=None, components=1, transform=0):
    "A lossless JPEG file"
    frame = struct.pack('>BHHB', bits, *(size or x.shape), components) + bytes([1,0x11,0])*components
    table = bytes([0, *(LENGTHS.count(n) for n in range(1, 17)), *range(17)])
    scan = bytes([1, 1,0, predictor, 0, transform])
    return (b'\xff\xd8' + segment(sof, frame) + extra + segment(0xffc4, table) + segment(0xffda, scan)
            + coded(x, predictor, 1 << bits-1, pvrg) + b'\xff\xd9')

def picture(rows=20, columns=13, bits=12): return np.random.default_rng(0).integers(0, 1 << bits, (rows, columns)).astype('uint16')

def smooth(rows=20, columns=13):
    y, x = np.mgrid[:rows,:columns]
    return (900 + 20*y + 15*x + np.random.default_rng(1).integers(0, 9, x.shape)).astype('uint16')

# --- lossless JPEG

@pytest.mark.parametrize('bits', [9, 12, 16])
@pytest.mark.parametrize('predictor', [1, 4, 5, 7])
@pytest.mark.parametrize('shape', [(20,13), (13,20), (1,9), (9,1), (1,1), (2,2), (3,1), (64,64)])
def test_pixels_come_back_exactly(predictor, bits, shape):
    for x in (picture(*shape, bits=bits), np.minimum(smooth(*shape), (1 << bits)-1).astype('uint16'), np.zeros(shape, 'uint16')):
        back = decode_ljpeg(encode(x, predictor, bits))
        assert back.dtype == np.uint16
        np.testing.assert_array_equal(back, x)

@pytest.mark.parametrize('predictor', [1, 4, 5, 7])
def test_twelve_bits_may_say_sixteen(predictor):
    np.testing.assert_array_equal(decode_ljpeg(encode(smooth(), predictor, bits=16)), smooth())

def test_the_one_difference_of_category_16():
    x = np.array([[0, 32768, 0], [32768, 0, 32768]], 'uint16')
    for predictor in (1, 4, 5, 7): np.testing.assert_array_equal(decode_ljpeg(encode(x, predictor, bits=16)), x)

def test_the_first_line_of_predictor_7_is_a_trap():
    "imagecodecs goes by the standard, and PVRG-JPEG does not: wrong pixels and no error"
    data = encode(smooth(), 7)
    alone = imagecodecs.ljpeg_decode(data)
    assert alone.shape == smooth().shape and (alone != smooth()).mean() > .8
    np.testing.assert_array_equal(decode_ljpeg(data), smooth())

def test_the_trap_lies_in_the_first_line_alone():
    "by the standard, imagecodecs reads all of predictors 1, 4, 5 and 7"
    for predictor in (1, 4, 5, 7):
        data = encode(smooth(), predictor, pvrg=False)
        np.testing.assert_array_equal(imagecodecs.ljpeg_decode(data), smooth())
        assert (data == encode(smooth(), predictor)) == (predictor != 7)

@pytest.mark.parametrize('predictor', [2, 3, 6])
def test_predictors_with_the_same_trap_are_refused(predictor):
    data = encode(smooth(), predictor)
    assert (imagecodecs.ljpeg_decode(data) != smooth()).any()
    with pytest.raises(UnreadableImage, match=f'lossless JPEG with predictor {predictor}, which is not read exactly'): decode_ljpeg(data)

@pytest.mark.parametrize('predictor', [0, 8, 255])
def test_predictors_that_do_not_exist_are_refused(predictor):
    data = encode(smooth(), 1).replace(bytes([1,1,0,1,0,0]), bytes([1,1,0,predictor,0,0]))
    with pytest.raises(UnreadableImage, match=f'predictor {predictor}'): decode_ljpeg(data)

def test_rebuilding_is_the_plain_recursion():
    d, half = picture(7, 5, bits=16), 2048
    x = np.zeros(d.shape, int)
    for i in range(7):
        for j in range(5): x[i,j] = (int(d[i,j]) + predict(x, i, j, 7, half, pvrg=True)) % 2**16
    np.testing.assert_array_equal(rebuild_pvrg(d, half), x)

def test_markers_are_found_by_the_lengths_of_segments():
    "here a comment looks like a scan with predictor 6, a frame and an end"
    comment = segment(0xfffe, b'\xff\xda\0\x08\x01\x01\0\x06\0\0 \xff\xc3 \xff\xd9')
    np.testing.assert_array_equal(decode_ljpeg(encode(smooth(), 7, extra=comment)), smooth())

def test_what_follows_the_end_does_not_matter():
    np.testing.assert_array_equal(decode_ljpeg(encode(smooth(), 7) + b'\0\0\xff\xd9 and more'), smooth())

def test_no_restart_interval_is_fine():
    np.testing.assert_array_equal(decode_ljpeg(encode(smooth(), 1, extra=segment(0xffdd, b'\0\0'))), smooth())

REFUSED = {
    'not a JPEG file': [b'', b'\xff', b'hello', b'\x89PNG\r\n\x1a\n', bytes(500), b'P5 3 3 255 '],
    'truncated JPEG file': [b'\xff\xd8', b'\xff\xd8\xff', b'\xff\xd8\xff\xc3\0', b'\xff\xd8\xff\xe0\xff\xff'],
    'damaged JPEG file': [b'\xff\xd8 what is this, then?', b'\xff\xd8\xff\xc3\0\0' + bytes(99)],
    'not lossless': [encode(smooth(), 1, sof=0xffc0), encode(smooth(), 1, sof=0xffc7),
                     b'\xff\xd8' + segment(0xffda, bytes(6)) + b'\xff\xd9'],
    'colour image': [encode(smooth(), 1, components=3)],
    'of a kind that is not read exactly': [encode(smooth(), 1, extra=segment(0xffdd, b'\0\x0d')), encode(smooth(), 1, transform=2),
                                           encode(smooth(), 1, bits=16).replace(b'\xff\xc3\0\x0b\x10', b'\xff\xc3\0\x0b\x08')],
    'damaged or second Huffman table': [encode(smooth(), 1, extra=segment(0xffc4, bytes([1, *[0]*15, 1, 3]))),
                                        encode(smooth(), 1, extra=segment(0xffc4, b'')).replace(bytes(range(17)), bytes(range(1,18)))],
    'truncated lossless JPEG': [encode(smooth(), 1, size=(60000,60000)), encode(smooth(), 1, size=(0,13)), encode(smooth(), 1)[:-2]],
    'truncated or damaged': [encode(smooth(), 1, size=(21,13)), encode(smooth(), 1, size=(19,13)), encode(smooth(), 7, size=(20,12))],
}

@pytest.mark.parametrize('phrase,data', [(phrase, data) for phrase, files in REFUSED.items() for data in files])
def test_what_is_no_whole_lossless_jpeg_is_refused(phrase, data):
    with pytest.raises(UnreadableImage, match=phrase): decode_ljpeg(data)

@pytest.mark.parametrize('predictor', [1, 7])
def test_a_file_cut_off_anywhere_is_refused(predictor):
    data = encode(smooth(), predictor)
    for n in range(len(data)):
        with pytest.raises(UnreadableImage): decode_ljpeg(data[:n])
    for n in range(len(data)-2):
        with pytest.raises(UnreadableImage): decode_ljpeg(data[:n] + b'\xff\xd9')

def test_the_decoder_alone_does_not_notice_a_cut():
    data = encode(smooth(), 1)
    assert imagecodecs.ljpeg_decode(data[:len(data)//2]).shape == smooth().shape

def test_bytes_lost_in_the_middle_are_noticed():
    data = encode(smooth(), 4)
    for n in range(data.find(b'\xff\xda')+10, len(data)-32):
        with pytest.raises(UnreadableImage): decode_ljpeg(data[:n] + data[n+30:])

def test_garbage_raises_nothing_else():
    rng, data = np.random.default_rng(0), encode(smooth(), 7)
    for _ in range(2000):
        changed = bytearray(data)
        for at in rng.integers(0, len(data) if rng.random() < .5 else 70, rng.integers(1, 4)): changed[at] = rng.integers(256)
        try: assert decode_ljpeg(bytes(changed)).dtype == np.uint16
        except UnreadableImage as e: assert str(e)

def data_folder():
    if 'MAMMO_UDA_DATA' not in os.environ: pytest.skip('MAMMO_UDA_DATA is not set')
    return Path(os.environ['MAMMO_UDA_DATA'])/'film_ljpeg'

def test_real_files_of_pvrg_jpeg():
    folder = data_folder()
    exact, files = np.load(folder/'wg04mg1_crop.npy'), sorted(folder.glob('*.LJPEG'))
    assert len(files) == 6
    for file in files:
        data = file.read_bytes()
        back = decode_ljpeg(data)
        assert back.dtype == np.uint16
        np.testing.assert_array_equal(back, exact)
        assert (imagecodecs.ljpeg_decode(data) == exact).all() == ('_k7' not in file.name)
        for n in (0, 1, 9, 15, 40, 60, 1000, len(data)//2, len(data)-1000, len(data)-6):
            with pytest.raises(UnreadableImage): decode_ljpeg(data[:n])
            with pytest.raises(UnreadableImage): decode_ljpeg(data[:n] + b'\xff\xd9')

# --- header of a case

ICS = '''ics_version 1.0
filename A-1141-1
DATE_OF_STUDY 7 6 1994
PATIENT_AGE 59
FILM 
FILM_TYPE REGULAR
DENSITY 3
DATE_DIGITIZED 7 22 1997 
DIGITIZER HOWTEK 
SEQUENCE
LEFT_CC LINES 20 PIXELS_PER_LINE 13 BITS_PER_PIXEL 12 RESOLUTION 43.5 OVERLAY
LEFT_MLO LINES 4688 PIXELS_PER_LINE 3048 BITS_PER_PIXEL 12 RESOLUTION 43.5 NON_OVERLAY
RIGHT_CC LINES 4624 PIXELS_PER_LINE 3056 BITS_PER_PIXEL 12 RESOLUTION 43.5 NON_OVERLAY
RIGHT_MLO LINES 4664 PIXELS_PER_LINE 3120 BITS_PER_PIXEL 12 RESOLUTION 43.5 OVERLAY
'''

@pytest.fixture
def ics(tmp_path):
    def write(old='', new='', newline='\n'):
        assert old in ICS
        path = tmp_path/'A-1141-1.ics'
        path.write_bytes(ICS.replace(old, new).replace('\n', newline).encode('latin-1'))
        return path
    return write

def test_header(ics):
    case = read_ics(ics())
    assert (case.letter, case.digitiser, case.age, case.density) == ('A', 'HOWTEK', 59, 3)
    assert list(case.views) == VIEWS
    assert case.views['LEFT_CC'] == View(20, 13, 12, 43.5, True)
    assert [o.overlay for o in case.views.values()] == [True, False, False, True]

def test_header_keeps_no_date_and_no_name(ics):
    text = repr(read_ics(ics()))
    assert not any(o in text for o in ('1994', '1997', '1141'))

@pytest.mark.parametrize('newline', ['\n', '\r\n', ' \r\n', '  \n\n'])
def test_header_in_other_dress(ics, newline):
    whole = read_ics(ics())
    assert read_ics(ics(newline=newline)) == whole
    assert read_ics(ics('ics_version', 'ICS_VERSION', newline)) == whole
    assert read_ics(ics('SEQUENCE', 'SELECTED', newline)) == whole

@pytest.mark.parametrize('text,digitiser', [('LUMISYS LASER', 'LUMISYS'), ('LUMISYS', 'LUMISYS'), ('DBA', 'DBA'), ('dba  M2100', 'DBA')])
def test_digitiser_is_its_first_word(ics, text, digitiser): assert read_ics(ics('HOWTEK', text)).digitiser == digitiser

@pytest.mark.parametrize('old,new', [(' 59', ''), (' 59', ' '), (' 59', ' 00'), (' 59', ' unknown'), ('PATIENT_AGE 59\n', '')])
def test_age_may_be_missing(ics, old, new): assert read_ics(ics(old, new)).age is None

@pytest.mark.parametrize('new', ['DENSITY ', 'DENSITY 0', ''])
def test_density_may_be_missing(ics, new): assert read_ics(ics('DENSITY 3', new)).density is None

@pytest.mark.parametrize('letter', 'ABCD')
def test_letter(ics, letter): assert read_ics(ics('filename A', f'filename {letter}')).letter == letter

@pytest.mark.parametrize('old,new', [
    ('ics_version 1.0\n', ''), ('filename A-1141-1\n', ''), ('DIGITIZER HOWTEK \n', ''), ('DIGITIZER HOWTEK', 'DIGITIZER'),
    ('RIGHT_MLO', 'RIGHT_ML'), ('LINES 20', 'LINES 0'), ('LINES 20', 'LINES'), ('LINES 20', 'LINES -20'), ('LINES 20', 'LINES ' + '9'*5000),
    ('PIXELS_PER_LINE 13', 'PIXELS_PER_LINE x'), ('43.5 OVERLAY', '4.3.5 OVERLAY'), (' OVERLAY', ''), (ICS, ''), (ICS, '\xff\xd8\0\0'*99)])
def test_damaged_header(ics, old, new):
    path = ics(old, new)
    with pytest.raises(UserError, match='^A-1141-1.ics is damaged') as e: read_ics(path)
    assert str(path.parent) not in str(e.value)

def test_header_cut_off_anywhere(ics, tmp_path):
    path = ics()
    for n in range(len(ICS) - len('Y \n')): # less the last letter, it is still not a header
        path.write_text(ICS[:n])
        with pytest.raises(UserError, match='^A-1141-1.ics is damaged'): read_ics(path)

def test_header_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match='^none.ics cannot be read') as e: read_ics(tmp_path/'none.ics')
    assert str(tmp_path) not in str(e.value)

# --- optical density

# grey level and optical density worked out by hand from the published curves
BY_HAND = {('DBA','A'): (1000, 1.67975), ('HOWTEK','A'): (1000, 2.84332), ('LUMISYS','B'): (1000, 3.06933),
           ('LUMISYS','C'): (3000, 1.08719), ('HOWTEK','D'): (2000, 1.98492)}

@pytest.mark.parametrize('digitiser,letter', CURVES)
def test_optical_density(digitiser, letter):
    grey, density = BY_HAND[digitiser, letter]
    assert optical_density(np.array([[grey]], 'uint16'), digitiser, letter)[0,0] == pytest.approx(density, abs=1e-4)

@pytest.mark.parametrize('digitiser,letter', CURVES)
def test_density_falls_over_all_grey_levels_and_stays_in_range(digitiser, letter):
    with warnings.catch_warnings(action='error'): density = optical_density(np.arange(2**16).astype('uint16'), digitiser, letter)
    assert density.dtype == np.float32 and np.isfinite(density).all() and (np.diff(density) <= 0).all()
    assert density[0] == np.float32(3.6) and density[-1] == np.float32(.05)

@pytest.mark.parametrize('digitiser,letter', [('DBA','B'), ('DBA','D'), ('LUMISYS','A'), ('HOWTEK','C'), ('CANON','A'), ('HOWTEK','E')])
def test_unknown_digitiser(digitiser, letter):
    with pytest.raises(UnreadableImage, match=f'digitiser {digitiser} and letter {letter}'):
        optical_density(np.zeros((2,2), 'uint16'), digitiser, letter)

# --- one film

@pytest.fixture
def film(ics):
    def write(data=None, old='', new='', name='A_1141_1.LEFT_CC.LJPEG'):
        path = ics(old, new).parent/name
        path.write_bytes(encode(smooth(), 7) if data is None else data)
        return path
    return write

def test_film_as_an_image(film):
    image = read_ljpeg(film())
    density = 3.789 - 0.00094568*smooth().astype(float)
    assert image.dtype == np.float32 and image.shape == (20,13)
    np.testing.assert_allclose(image, (3.6 - density)/3.55, atol=1e-6)

def test_film_has_the_range_of_all_images(film):
    image = read_ljpeg(film(encode(picture(), 1)))
    assert image.min() == 0 and image.max() == 1

def test_path_may_be_text_and_names_may_be_lower_case(film):
    np.testing.assert_array_equal(read_ljpeg(str(film(name='a_1141_1.left_cc.ljpeg'))), read_ljpeg(film()))

def test_lines_and_columns_exchanged_in_the_jpeg_header(film):
    "the order of the pixels is right; PVRG-JPEG was given another length of line"
    path = film(encode(smooth().reshape(13,20), 7))
    wrong = path.read_bytes()
    np.testing.assert_array_equal(read_ljpeg(path), read_ljpeg(film()))
    assert decode_ljpeg(wrong).shape == (13,20)

UNFIT = [
    (dict(data=encode(smooth(20,12), 1)), 'image of 20 x 12 where the .ics header says 20 x 13'),
    (dict(data=encode(smooth(13,13), 1)), 'image of 13 x 13 where the .ics header says 20 x 13'),
    (dict(name='A_1141_1.RIGHT_CC.LJPEG'), 'image of 20 x 13 where the .ics header says 4624 x 3056'),
    (dict(name='A_1141_1.LJPEG'), 'file name without a view'),
    (dict(name='LEFT_CC'), 'file name without a view'),
    (dict(name='A_1141_1.LEFT_XX.LJPEG'), 'file name without a view'),
    (dict(old='LEFT_CC LINES', new='LEFT_CC LINE'), 'no whole line LEFT_CC in the .ics header'),
    (dict(old='HOWTEK', new='CANON'), 'digitiser CANON and letter A'),
    (dict(old='filename A', new='filename B'), 'digitiser HOWTEK and letter B'),
    (dict(data=b''), 'not a JPEG file'),
    (dict(data=encode(smooth(), 7)[:-9]), 'truncated lossless JPEG'),
    (dict(data=encode(smooth(), 6)), 'predictor 6'),
]

@pytest.mark.parametrize('what,phrase', UNFIT, ids=[phrase for _, phrase in UNFIT])
def test_film_that_cannot_be_used(film, what, phrase):
    path = film(**what)
    with pytest.raises(UnreadableImage, match=phrase) as e: read_ljpeg(path)
    assert str(path.parent) not in str(e.value) and '1141' not in str(e.value) and '\n' not in str(e.value)

def test_film_without_its_header_or_with_two(film):
    path = film()
    path.with_name('B-1-1.ics').write_text(ICS)
    with pytest.raises(UnreadableImage, match='2 .ics headers'): read_ljpeg(path)
    for header in path.parent.glob('*.ics'): header.unlink()
    with pytest.raises(UnreadableImage, match='no .ics header'): read_ljpeg(path)

def test_film_that_is_not_there(film, tmp_path):
    film()
    with pytest.raises(UnreadableImage, match='No such file'): read_ljpeg(tmp_path/'A_1141_1.RIGHT_MLO.LJPEG')
    with pytest.raises(UnreadableImage, match='No such file'): read_ljpeg(tmp_path/'none'/'A_1141_1.RIGHT_MLO.LJPEG')
    (tmp_path/'A_1141_1.LEFT_MLO.LJPEG').mkdir()
    with pytest.raises(UnreadableImage, match='directory'): read_ljpeg(tmp_path/'A_1141_1.LEFT_MLO.LJPEG')

# --- outlines

OVERLAY = '''TOTAL_ABNORMALITIES 2
ABNORMALITY 1
LESION_TYPE CALCIFICATION TYPE FINE_LINEAR_BRANCHING DISTRIBUTION LINEAR
LESION_TYPE MASS SHAPE ARCHITECTURAL_DISTORTION MARGINS N/A
ASSESSMENT 4
SUBTLETY 5
PATHOLOGY MALIGNANT
TOTAL_OUTLINES 2
BOUNDARY
 4 3 2 2 2 2 4 4 4 4 6 6 6 6 0 0 0 0 # 
\tCORE
 5 4 2 4 6 0 # 
ABNORMALITY 2
LESION_TYPE OTHER
ASSESSMENT 0
SUBTLETY
PATHOLOGY BENIGN_WITHOUT_CALLBACK
TOTAL_OUTLINES 1
BOUNDARY
10 1 3 5 7 1#
'''

@pytest.fixture
def overlay(tmp_path):
    def write(text=OVERLAY, old='', new=''):
        assert old in text
        path = tmp_path/'A_1141_1.LEFT_CC.OVERLAY'
        path.write_bytes(text.replace(old, new).encode('latin-1'))
        return path
    return write

def test_overlay(overlay):
    first, second = read_overlay(overlay())
    assert (first.kind, first.assessment, first.subtlety, first.pathology) == ('CALCIFICATION+MASS', 4, 5, 'MALIGNANT')
    assert (second.kind, second.assessment, second.subtlety, second.pathology) == ('OTHER', 0, None, 'BENIGN_WITHOUT_CALLBACK')
    assert [len(o) for o in first.outlines] == [17, 5] and len(second.outlines) == 1
    np.testing.assert_array_equal(first.outlines[1], [(4,5), (4,6), (5,6), (5,5), (4,5)]) # row, column
    assert first.outlines[0].dtype.kind == 'i'

def test_overlay_in_other_dress(overlay):
    whole = [a.outlines for a in read_overlay(overlay())]
    for text in (OVERLAY.replace('\n', '\r\n'), OVERLAY.replace('\n', ' \n\n'), OVERLAY.replace('2 2 2 2 4 4', '2 2\n2 2 4 4')):
        for was, now in zip(whole, [a.outlines for a in read_overlay(overlay(text))]):
            for a, b in zip(was, now, strict=True): np.testing.assert_array_equal(a, b)

@pytest.mark.parametrize('code,row,column', [(0,-1,0), (1,-1,1), (2,0,1), (3,1,1), (4,1,0), (5,1,-1), (6,0,-1), (7,-1,-1)])
def test_directions_go_clockwise_from_up(code, row, column):
    np.testing.assert_array_equal(follow_chain(7, 20, [code, code]), [(20,7), (20+row,7+column), (20+2*row,7+2*column)])

def test_hidden_files_of_other_systems_are_no_headers(film):
    path = film()
    whole = read_ljpeg(path)
    (path.parent/'._A-1141-1.ics').write_bytes(b'\0\5\x16\7')
    np.testing.assert_array_equal(read_ljpeg(path), whole)

def test_a_chain_of_one_pixel():
    np.testing.assert_array_equal(follow_chain(7, 20, []), [(20,7)])

@pytest.mark.parametrize('old,new', [('ABNORMALITIES 2', 'ABNORMALITIES 1'), ('OUTLINES 2', 'OUTLINES 3'), ('OUTLINES 2', 'OUTLINES 1')])
def test_counts_that_are_known_to_be_wrong_do_no_harm(overlay, old, new):
    assert [len(a.outlines) for a in read_overlay(overlay(old=old, new=new))] == [2, 1]

def test_a_normal_film(overlay):
    assert read_overlay(overlay('TOTAL_ABNORMALITIES 0\n')) == []

@pytest.mark.parametrize('old,new', [
    ('TOTAL_ABNORMALITIES 2', 'TOTAL_ABNORMALITIES 3'), ('TOTAL_ABNORMALITIES 2\n', ''), ('MALIGNANT', 'MALIGN'), ('MALIGNANT', 'UNKNOWN'),
    ('PATHOLOGY MALIGNANT\n', ''), ('LESION_TYPE OTHER\n', ''), ('0 0 0 0 # ', '0 0 0 0'), ('5 4 2 4 6 0 # ', '5 4 2 8 6 0 # '),
    ('5 4 2 4 6 0 # ', '5 # '), ('5 4 2 4 6 0 # ', '# '), ('10 1 3 5 7 1#', ''), ('10 1 3 5 7 1#', '10 x 3 5 7 1#'),
    ('4 3 2 2', '4 3 2 12'), ('4 3 2 2', '4'*5000 + ' 3 2 2'), (OVERLAY, ''), (OVERLAY, '\xff\xd8\0'*99)])
def test_damaged_overlay(overlay, old, new):
    path = overlay(old=old, new=new)
    with pytest.raises(UserError, match='^A_1141_1.LEFT_CC.OVERLAY is damaged') as e: read_overlay(path)
    assert str(path.parent) not in str(e.value)

def test_overlay_cut_off_anywhere(overlay):
    for n in range(len(OVERLAY) - len('#\n')):
        with pytest.raises(UserError, match='is damaged'): read_overlay(overlay(OVERLAY[:n]))

def test_overlay_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match='^none.OVERLAY cannot be read'): read_overlay(tmp_path/'none.OVERLAY')

def test_mask(overlay):
    lesions = read_overlay(overlay())
    mask, square = lesion_mask(lesions[:1], (20,13)), np.zeros((20,13), bool)
    square[3:8,4:9] = True
    assert mask.dtype == bool
    np.testing.assert_array_equal(mask, square)
    assert lesion_mask(lesions, (20,13)).sum() == 25 + 5
    assert not lesion_mask([], (20,13)).any()

def test_mask_is_cut_at_the_borders_of_the_film(overlay):
    lesions = read_overlay(overlay())
    np.testing.assert_array_equal(lesion_mask(lesions, (6,7)), lesion_mask(lesions, (20,13))[:6,:7])
    assert not lesion_mask(lesions, (1,1)).any()

def test_outlines_may_begin_beyond_the_film(overlay):
    lesions = read_overlay(overlay(old=' 4 3 2', new=' -2 -1 2'))
    np.testing.assert_array_equal(np.argwhere(lesion_mask(lesions[:1], (20,13)))[[0,-1]], [(0,0), (5,6)]) # of boundary and core
