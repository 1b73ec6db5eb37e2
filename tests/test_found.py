"Found by machines: any text gives a table or one sentence, never another error; what is well formed comes back as it was"
import csv, io, tempfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np, pandas as pd
from hypothesis import example, given, settings, strategies as st

from mammo_uda.core.files import UserError
from mammo_uda.data.dataset import Dataset
from mammo_uda.data.ddsm import CHAIN_STEPS, VIEWS, Case, lesion_mask, read_ics, read_overlay
from mammo_uda.data.lists import read_rows
from mammo_uda.data.sets import label_by_birads, mini_mias, read_list

calm = settings(derandomize=True, deadline=None, max_examples=100, database=None)

@contextmanager
def file(name, content):
    "A file in a folder of its own"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)/name
        path.write_bytes(content)
        yield path

def tried(read, path, *args):
    "What a reader gives, or None where it says in one sentence what is wrong with the file"
    try: return read(path, *args)
    except UserError as e:
        assert Path(path).name in str(e) and len(str(e).splitlines()) == 1 and len(str(e)) < 2000
        return None

def encoded(texts):
    "Texts as bytes, in encodings that programs use and in none"
    return st.one_of(st.binary(max_size=200), *(texts.map(lambda text, code=code: text.encode(code, errors='replace'))
                                                for code in ('utf-8', 'utf-8-sig', 'utf-16', 'utf-16-le', 'cp1252')))

def pieces(*words, most=60): return st.lists(st.sampled_from(words) | st.text(max_size=3), max_size=most).map(''.join)

# ---- lists

LISTS = pieces(',', ';', '\t', '|', '"', '\n', '\r\n', '\r', ' ', '\0', '\ufeff', 'sep=;\n', 'path', 'Path', 'patient', 'label', 'age', '0', '1', '1.0', '57,5',
               '1.2E+15', 'NA', 'TRUE', 'é', '\\', '../', '\x85', '\u2028')
HEAD = 'path{0}patient{0}label{0}laterality{0}view{0}age{0}split{0}spacing{0}implant\n'
CELLS = st.lists(st.lists(st.sampled_from(['a.png', 'b/c.png', 'b\\c.png', '', '0', '1', 'L', 'CC', 'train', 'test', 'TRUE', '0.07', '9'*40, '-1e999', 'inf', '1e5', 'é'])
                          | st.text(max_size=4), min_size=3, max_size=9), min_size=1, max_size=5)

@calm
@given(encoded(LISTS))
@example(b'"')
@example('path\r\n'.encode('utf-16')[:-1])
def test_any_bytes_are_a_table_or_one_sentence(content):
    with file('list.csv', content) as path:
        rows = tried(read_rows, path)
        if rows is not None:
            assert len(rows) and rows['row'].is_monotonic_increasing and rows.columns.is_unique
            texts = rows.drop(columns='row').stack().dropna()
            assert all(isinstance(text, str) and text == text.strip() != '' for text in texts)
        tried(read_list, path, {'path': 'path', 'patient': 'patient'}, {'age': 'age'})

@calm
@given(CELLS, st.sampled_from(',;\t|'))
def test_any_cells_are_a_data_set_or_one_sentence(cells, separator):
    out = io.StringIO()
    csv.writer(out, delimiter=separator).writerows(cells)
    with file('list.csv', (HEAD.format(separator) + out.getvalue()).encode(errors='replace')) as path:
        d = tried(Dataset.from_csv, path, 'film')
        if d is not None:
            assert d.table['image_id'].is_unique and d.table['label'].isin([0, 1]).all()
            d.table.to_parquet(path.with_suffix('.parquet'))

WORDS = st.text('abÄé,;|\t"\n\r \'', max_size=6).filter(lambda text: text.strip())

@calm
@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=6), st.sampled_from(',;\t|'), st.sampled_from(['\n', '\r\n', '\r']),
       st.sampled_from(['utf-8', 'utf-8-sig', 'utf-16', 'cp1252']), st.booleans())
def test_well_formed_lists_come_back(cells, separator, end, encoding, named):
    out = io.StringIO()
    if named: out.write(f'sep={separator}{end}')
    csv.writer(out, delimiter=separator, lineterminator=end, quoting=csv.QUOTE_ALL).writerows([('a', 'b b', 'C'), *cells])
    with file('list.csv', out.getvalue().encode(encoding)) as path: rows = read_rows(path)
    assert rows[['a', 'b_b', 'c']].values.tolist() == [[text.strip() for text in row] for row in cells]
    assert rows['row'].tolist() == [*range(2 + named, 2 + named + len(cells))]

@calm
@given(encoded(pieces('mdb', '001', 'mdb001 G CIRC B 535 425 197\n', 'mdb002 D NORM\n', 'M', ' ', '\n', '\u2028', 'NOTE')))
def test_any_list_of_mias_is_a_data_set_or_one_sentence(content):
    with file('Info.txt', content) as path:
        (path.parent/'mdb001.pgm').touch()
        d = tried(lambda path: mini_mias(path.parent), path)
        assert d is None or d.table['label'].isin([0, 1]).all()

# ---- BI-RADS

@calm
@given(st.lists(st.sampled_from(['1', '2', '3', '4a', '5', '6', '4C', '0', 'BI-RADS 4', '4.0']) | st.none() | st.text(max_size=4), min_size=1, max_size=9))
def test_any_category_is_a_label_or_one_sentence(categories):
    rows = pd.DataFrame({'birads': pd.Series(categories, dtype='str'), 'row': range(2, len(categories) + 2)})
    labelled = tried(lambda path: label_by_birads(rows, [], path), 'list.csv')
    known = [text and text[0] in '123456' and text[1:] in ('', *'abcABC') for text in categories]
    assert (labelled is not None) == all(known)
    if labelled is not None: assert labelled['label'].tolist() == [str(int(text[0] > '3')) for text in categories if text[0] != '3']

# ---- headers and overlays of DDSM

ICS = 'ics_version 1.0\nfilename A-0001-1\nPATIENT_AGE 61\nDENSITY 3\nDIGITIZER HOWTEK\n' + ''.join(
    f'{view} LINES 60 PIXELS_PER_LINE 40 BITS_PER_PIXEL 12 RESOLUTION 43.5 NON_OVERLAY\n' for view in VIEWS)
OVERLAY = 'TOTAL_ABNORMALITIES 1\nABNORMALITY 1\nLESION_TYPE MASS SHAPE OVAL\nASSESSMENT 4\nSUBTLETY 3\nPATHOLOGY MALIGNANT\nTOTAL_OUTLINES 1\nBOUNDARY\n10 20 0 2 4 6 #\n'

@st.composite
def spoilt(draw, text):
    "A good text with some of its words exchanged"
    words = text.split(' ')
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(words)-1))
        words[at] = draw(st.sampled_from(words + ['', '0', '-1', '9'*30, '9'*5, '#', '\n', 'BOUNDARY', '²']) | st.text(max_size=3))
    return ' '.join(words)

@calm
@given(encoded(spoilt(ICS) | pieces(*ICS.split(' '))))
@example(ICS.replace('43.5', '9'*400).encode())
def test_any_header_is_a_case_or_one_sentence(content):
    with file('A-0001-1.ics', content) as path: case = tried(read_ics, path)
    if case is None: return
    assert isinstance(case, Case) and set(case.views) == set(VIEWS)
    assert all(0 < view.lines < 1e5 and 0 < view.pixels < 1e5 and 0 <= view.micron < 1e4 for view in case.views.values())

def test_the_good_texts_are_read():
    with file('A-0001-1.ics', ICS.encode()) as path: assert read_ics(path).age == 61
    with file('A.OVERLAY', OVERLAY.encode()) as path: assert read_overlay(path)[0].pathology == 'MALIGNANT'

@calm
@given(encoded(spoilt(OVERLAY) | pieces(*OVERLAY.split(' '), *OVERLAY.splitlines(keepends=True))))
def test_any_overlay_is_lesions_or_one_sentence(content):
    with file('A_0001_1.LEFT_CC.OVERLAY', content) as path: lesions = tried(read_overlay, path)
    if lesions is None: return
    assert lesion_mask(lesions, (60, 40)).shape == (60, 40)
    for lesion in lesions: assert lesion.outlines and all(o.shape[1] == 2 for o in lesion.outlines)

@calm
@given(st.integers(0, 999), st.integers(0, 999), st.lists(st.integers(0, 7), max_size=200), st.sampled_from(['\n', '\r\n']), st.sampled_from([' ', '  ']))
def test_outlines_come_back(x, y, code, end, blank):
    text = OVERLAY.replace('10 20 0 2 4 6', ' '.join(map(str, [x, y, *code]))).replace(' ', blank).replace('\n', end)
    with file('A_0001_1.LEFT_CC.OVERLAY', text.encode()) as path: outline, = read_overlay(path)[0].outlines
    assert outline[0].tolist() == [y, x] and len(outline) == len(code) + 1
    np.testing.assert_array_equal(np.diff(outline, axis=0), CHAIN_STEPS[np.array(code, dtype=int)])
