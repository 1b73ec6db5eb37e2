"Tests keep the key for pseudonyms in a folder of their own"
import pytest
from browser import artefacts, browser

@pytest.fixture(scope='session', autouse=True)
def key_of_the_tests(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CONFIG_HOME', str(tmp_path_factory.mktemp('config')))
        yield

@pytest.fixture(scope='module')
def small_network():
    "A network named small for the tests of a module"
    from mammo_uda.classify.networks import ARCHS # those who need none of torch's seconds are spared them
    from values import SMALL
    ARCHS['small'] = SMALL
    yield
    del ARCHS['small']
