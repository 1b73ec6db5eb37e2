"Tests keep the key for pseudonyms in a folder of their own"
import pytest
from browser import artefacts, browser

@pytest.fixture(scope='session', autouse=True)
def key_of_the_tests(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CONFIG_HOME', str(tmp_path_factory.mktemp('config')))
        yield
