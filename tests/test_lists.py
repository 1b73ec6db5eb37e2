"Lists as other programs save them: one table, whatever the separator, the letters and the habits of a spreadsheet"
import os

import pandas as pd, pytest

from mammo_uda.core.files import UserError
from mammo_uda.data.dataset import Dataset
from mammo_uda.data.lists import read_rows

HEADER = ['File', 'Patient ID', 'patient', 'label', 'age', 'spacing', 'scanner']
ROWS = [[f'{i}.png', f'n{i}', f'P{i//2}', str(i//2%2), f'{50+i}.5', '0.07', 'Müller, "the old one"; A\tB|C'] for i in range(12)]

def as_text(separator=',', comma='.', end='\n', header=HEADER, rows=ROWS):
    "The list with another separator, decimal sign and end of line; every cell that needs it in quotation marks"
    def cell(text):
        if text.replace('.', '').isdigit(): text = text.replace('.', comma)
        return '"' + text.replace('"', '""') + '"' if any(o in text for o in ',;\t|"\n') and not text[0].isdigit() else text
    return ''.join(separator.join(map(cell, row)) + end for row in [header, *rows])

@pytest.fixture
def load(tmp_path):
    def load(text, encoding='utf-8', name='list.csv', **options):
        (tmp_path/name).write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
        return Dataset.from_csv(tmp_path/name, 'film', **options)
    return load

def changed(column, value, row=4):
    "The list with another value in one row, counted as in the file; semicolons, so that a value may hold a comma"
    rows = [list(o) for o in ROWS]
    rows[row-2][HEADER.index(column)] = value
    return as_text(';', rows=rows)

@pytest.mark.parametrize('encoding', ['utf-8', 'utf-8-sig', 'utf-16', 'utf-16-be', 'cp1252'])
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
@pytest.mark.parametrize('separator, comma', [(',', '.'), (';', '.'), (';', ','), ('\t', ','), ('|', '.')])
def test_one_table_however_it_is_saved(load, encoding, end, separator, comma):
    text, plain = as_text(separator, comma, end), load(as_text()).table
    table = load(('\ufeff' if encoding=='utf-16-be' else '') + text, encoding).table
    pd.testing.assert_frame_equal(table, plain)
    assert table['age'].tolist() == [50.5 + i for i in range(12)] and table['spacing'].tolist() == [.07]*12
    assert table['scanner'][0] == ROWS[0][-1] and table['row'].tolist() == list(range(2, 14))

@pytest.mark.parametrize('named', ['sep=;', '"sep=;"', 'SEP=;'])
def test_the_separator_may_stand_in_a_line_of_its_own(load, named):
    t = load(f'{named}\r\n' + as_text(';', ',', '\r\n')).table
    assert t['row'].tolist() == list(range(3, 15)) and t['age'][0] == 50.5

def test_what_spreadsheets_leave_behind(load):
    "Empty columns and rows, a column of row numbers, rows that are too short, blanks and empty lines before the header"
    text = as_text(',', header=['', *HEADER, '', ''], rows=[[str(i), *row, ' ', ''] for i, row in enumerate(ROWS)])
    text = '\n' + text.replace('File', ' file ').replace('\n5,', '\n,,,\n \n5,') + ',,,,,,,,,\n\n'
    t = load(text).table
    assert t['row'].tolist() == [*range(3, 8), *range(10, 17)] and t['path'].tolist() == [row[0] for row in ROWS]
    assert load('path,patient,label,age\na.png,1,0\nb.png,2,1,50\n').table['age'].isna().tolist() == [True, False]

@pytest.mark.parametrize('added', ['.0', '.00'])
def test_whole_numbers_that_became_measurements_are_whole_again(load, added):
    rows = [['a.png', '0012', '1'], ['b.png', '7', '0'], ['c.png', '900719925474099', '0']]
    plain, other = [load(as_text(header=['path', 'patient', 'label'], rows=[[p, n + o, l + o] for p, n, l in rows])).table for o in ('', added)]
    pd.testing.assert_frame_equal(plain, other)
    assert load(as_text(header=['path', 'patient', 'label'], rows=[['a', '1.0', '0'], ['b', '1.2', '0'], ['c', '1', '0']])).table['patient'].nunique() == 3

@pytest.mark.parametrize('words', [['FALSE', 'TRUE'], ['no', 'Yes'], ['0', '1.0']])
def test_yes_and_no_may_be_words(load, words):
    rows = [[f'{i}.png', str(i), words[i%2], words[i%2]] for i in range(4)]
    t = load(as_text(header=['path', 'patient', 'label', 'implant'], rows=rows)).table
    assert t['label'].tolist() == t['implant'].tolist() == [0, 1, 0, 1]

@pytest.mark.parametrize('column, value', [('patient', '1.23457E+15'), ('patient', '1,23E+15'), ('File', '4.6e+08')])
def test_a_number_that_was_cut_is_refused(load, column, value):
    with pytest.raises(UserError) as e: load(changed(column, value))
    assert f"list.csv, row 4: {column.lower().replace('file', 'path')} is '{value}', of which a spreadsheet has cut" in str(e.value)

def test_a_number_with_an_e_in_it_is_not_cut(load):
    assert load(changed('patient', '12e45')).table['patient'].nunique() == 7

def test_paths_from_windows(load, tmp_path):
    (tmp_path/'odd\\name.png').write_text('a file may be called so here')
    t = load(as_text(header=['path', 'patient', 'label'], rows=[['left\\a.png', '1', '0'], ['.\\b.png', '2', '1'], ['odd\\name.png', '3', '1']])).table
    assert t['path'].tolist() == ['left/a.png', 'b.png', 'odd\\name.png']
    with pytest.raises(UserError, match='row 3: its image was listed before'):
        load(as_text(header=['path', 'patient', 'label'], rows=[['left\\a.png', '1', '0'], ['left/a.png', '2', '1']]))

def test_backslashes_in_a_list_of_dicom_files(tmp_path):
    for name in ('Ada', 'Bea'):
        (tmp_path/'files'/name).mkdir(parents=True)
        (tmp_path/'files'/name/'1.dcm').write_text('no image')
        (tmp_path/'files'/name/'._1.dcm').write_text('of another system')
    (tmp_path/'labels.csv').write_text('file;label\nBea\\1.dcm;0\nAda\\1.dcm;1\n')
    assert Dataset.from_dicom(tmp_path/'files', tmp_path/'labels.csv', 'film').table['path'].tolist() == ['Bea/1.dcm', 'Ada/1.dcm']

REFUSED = {
    'has two columns .patient.': as_text(header=['path', 'Patient', 'patient', 'label', 'age', 'spacing', 'scanner']),
    'has two columns .path.': as_text(header=['path', 'PATH', 'patient', 'label', 'age', 'spacing', 'scanner']),
    "has no column 'patient': it needs patient and has path, name, label": as_text(header=['path', 'name', 'label'], rows=[['a', 'b', '0']]),
    'row 5: it has 9 cells and the header has 7': as_text().replace('3.png', '3,a,png'),
    'row 13: a quotation mark is not closed': as_text()[:-2] + '\n',
    'row 4: a quotation mark': as_text().replace('2.png,n2,P1', '2.png,n2,"P"1'),
    'row 2: it is not text': 'path,patient,label\n\0,1,0\n',
    'is not text that can be read': b'path,patient,label\n\x81\x8d.png,1,0\n',
    'is a workbook of a spreadsheet: save the sheet with the list as CSV': b'PK\x03\x04' + bytes(100),
    'is empty: it must list the images': '\ufeff\n\n',
    'has a header and no rows': as_text(rows=[['']*7]),
}
@pytest.mark.parametrize('sentence', REFUSED)
def test_what_is_no_table_is_one_sentence(load, sentence, recwarn):
    with pytest.raises(UserError, match=f'list.csv,? {sentence}') as e: load(REFUSED[sentence])
    assert '\n' not in str(e.value) and str(e.value).endswith('.') and not recwarn.list

def test_columns_that_nobody_asks_for_may_be_there_twice(load):
    assert len(load('path,patient,label,date,Date\na.png,1,0,x,y\n')) == 1

def test_one_given_for_the_other(tmp_path):
    (tmp_path/'list.csv').write_text('file,label\na.dcm,0\n')
    (tmp_path/'folder').mkdir()
    with pytest.raises(UserError, match='folder is a folder: give the CSV'): Dataset.from_csv(tmp_path/'folder', 'film')
    with pytest.raises(UserError, match='folder is a folder: give the CSV'): Dataset.from_dicom(tmp_path/'folder', tmp_path/'folder', 'film')
    with pytest.raises(UserError, match='list.csv is a file: give the folder'): Dataset.from_dicom(tmp_path/'list.csv', tmp_path/'list.csv', 'film')

def test_a_list_that_may_not_be_read(tmp_path):
    if os.geteuid() == 0: pytest.skip('root may read every file')
    (tmp_path/'list.csv').write_text(as_text())
    (tmp_path/'list.csv').chmod(0)
    with pytest.raises(UserError, match='list.csv cannot be read'): read_rows(tmp_path/'list.csv')

def test_only_the_columns_asked_for_are_kept(tmp_path):
    (tmp_path/'list.csv').write_text(as_text())
    assert read_rows(tmp_path/'list.csv', ['file'], ['file', 'age', 'implant']).columns.tolist() == ['file', 'age', 'row']
