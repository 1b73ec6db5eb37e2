"A page stands alone, whatever is put into it"
import base64, json, re
import pytest
from mammo_uda.core.files import UserError
from mammo_uda.view.page import LARGEST, data_uri, in_frame, standalone_page

def embedded(page): return json.loads(re.search('id="data">(.*?)</script>', page, re.S)[1])

@pytest.mark.parametrize('data', [None, [1, 2.5], {'a': 'ä → <b>'}, '</script><script>alert(1)</script>', '<!--', 'line\u2028end'])
def test_data_comes_back(data):
    page = standalone_page('Page', '<p>body</p>', data=data)
    assert embedded(page)==data and page.count('<script')==page.count('</script>')==2

def test_title_is_text(): assert '<title>a &lt;b&gt; &amp; c</title>' in standalone_page('a <b> & c', '')

def test_says_what_it_is_not_and_loads_nothing():
    page = standalone_page('Page', '<h1>Page</h1>', style='p{margin:0}')
    assert 'not a medical device' in page and "default-src 'none'" in page and not re.search('(src|href)=|https?:', page.replace('img-src', ''))

def test_numbers_that_json_lacks_are_refused():
    with pytest.raises(ValueError): standalone_page('Page', '', data=float('nan'))

def test_size_counts_bytes():
    with pytest.raises(UserError, match=r'3\.2 MB, and 3 are allowed: show fewer or smaller images'): standalone_page('Page', 'ä'*1_600_000)
    assert len(standalone_page('Page', 'a'*2_900_000)) < LARGEST

def test_picture_is_inside():
    head, text = data_uri(b'\x00\xff', 'jpeg').split(',')
    assert head=='data:image/jpeg;base64' and base64.b64decode(text)==b'\x00\xff'

def test_frame_holds_the_whole_page():
    from html.parser import HTMLParser
    found, page = [], standalone_page('Page', '<p class="a">"&amp;"</p>')
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: found.append(dict(attributes))
    parser.feed(in_frame(page).data)
    assert found[1]['srcdoc']==page
