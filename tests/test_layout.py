"The eyes of the tests find a number in a wrong row, a cut text, a covered control, a caption at another picture"
import pytest
from layout import click_at, faults, table_seen

GRID = '<div style="display:grid;grid-template-columns:repeat(4,max-content);gap:4px 12px">{}</div>'
HEAD = ['<b>from</b>', '<b>net<br>one</b>', '<b>net<br>two</b>']
ROWS = [['<i>film</i>', '<button>1</button>', '<button>2</button>'],
        ['<i>digital</i>', '<button>3</button>', '<button>4</button>']]
RIGHT = [{'from': 'film', 'net one': '1', 'net two': '2'}, {'from': 'digital', 'net one': '3', 'net two': '4'}]

@pytest.fixture(scope='module')
def tab(browser): return browser.new_page(viewport=dict(width=390, height=800))

def shown(tab, html):
    tab.set_content(f'<!doctype html><meta charset="utf-8">{html}')
    return tab.locator('body')

def grid(last): return GRID.format(''.join(o for row in [HEAD, *ROWS] for o in [*row, last]))

def test_a_table_is_read_as_it_stands(tab):
    assert table_seen(shown(tab, grid('<p></p>')), list(RIGHT[0]))==RIGHT

def test_a_hidden_column_that_shifts_every_row(tab):
    found = table_seen(shown(tab, grid('<p hidden></p>')), list(RIGHT[0]))
    assert found!=RIGHT and found[0]=={'from': '1', 'net one': '2', 'net two': 'digital', None: '3'}

def test_two_numbers_in_one_place_and_one_under_no_heading(tab):
    root = shown(tab, '<table><tr><th>from<th>net one<th><tr><td>film<td><i>1</i> <u>2</u><td>3</table>')
    assert table_seen(root, ['from', 'net one'])==[{'from': 'film', 'net one': '1 | 2', None: '3'}]

def test_a_click_hits_the_cell_of_row_and_column(tab):
    far = '<div style="height:3000px"></div>'
    root = shown(tab, far + grid('<p style="height:150px"></p>') + far)
    tab.evaluate('() => { document.onclick = e => { document.title = e.target.textContent; }; }')
    for row, column, number in [('film', 'net two', '2'), ('digital', 'net one', '3')]:
        click_at(root, row, column)
        assert tab.title()==number

def slider(name): return f'<label><span style="{name}">name</span><input type="range"></label>'

def figure(caption, style=''):
    picture = f'<img alt="{caption}" width=60 height=60>'
    return f'<figure style="margin:0;width:60px"><figcaption style="{style}">{caption}</figcaption>{picture}</figure>'

def menu(width): return f'<label>menu <select style="width:{width}"><option>film to digital</select></label>'

LONG = '<p style="white-space:nowrap">' + 60*'word ' + '</p>'
PICTURE = '<img alt="a picture" width=90 height=90 style="display:block;margin-top:-40px">'

@pytest.mark.parametrize('html,fault', [
    ('<div style="width:30px;overflow:hidden;white-space:nowrap">long words</div>', "'long words' is cut"),
    (menu('50px'), 'is cut'),
    (LONG, 'is out of sight'),
    ('<p style="margin-left:-30px">word</p>', "'word' is out of sight"),
    ('<p style="color:#aaa">pale</p>', "'pale' has a contrast of 2.3"),
    ('<div style="background:#222"><p>dark</p></div>', "'dark' has a contrast of 1.3"),
    ('<p style="opacity:.4">thin</p>', "'thin' has a contrast of 2.8"),
    ('<button>one</button><button style="margin-left:-20px">two</button>', "'one' lies over 'two'"),
    (f'<p>words</p>{PICTURE}', "'words' lies over 'a picture'"),
    (slider('display:inline-block;width:150px'), "'name' is not beside its name"),
    (slider('position:absolute;top:60px') + '<br><br>' + slider(''), "'name' is not beside its name"),
    (figure('one', 'margin-bottom:70px'), "'one' is not beside its name"),
])
def test_finds(tab, html, fault): assert any(fault in o for o in faults(shown(tab, html)))

@pytest.mark.parametrize('html', [
    slider(''),
    menu('auto'),
    f'<div style="overflow-x:auto">{LONG}</div>',
    f'<div style="display:flex">{figure("one")}{figure("two")}</div>',
    '<p hidden>nothing</p><p>words <b>in words</b></p>',
])
def test_finds_nothing_where_all_is_well(tab, html): assert not faults(shown(tab, html))
