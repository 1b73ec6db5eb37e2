"No two purposes share a stream of random numbers, and every stream of several numbers is made in one place"
import ast, random
from itertools import product
from pathlib import Path

import numpy as np, pytest, torch

from mammo_uda.core.seeds import stream
from mammo_uda.core.training import seed_all

PACKAGE = Path(__file__).parent.parent/'mammo_uda'


def calls(*names):
    "Calls of functions of these names in the package: file, call"
    for path in sorted(PACKAGE.rglob('*.py')):
        for o in ast.walk(ast.parse(path.read_text())):
            name = getattr(o.func, 'attr', getattr(o.func, 'id', None)) if isinstance(o, ast.Call) else None
            if name in names: yield path.name, o


PURPOSES = [call.args[0].value for _, call in calls('stream')]
NUMBERS = [numbers for n in range(5) for numbers in product((0, 1, 10, 2**32), repeat=n)]


def shared(make):
    "How many pairs of purpose and numbers have draws that were there before"
    first = [tuple(make(purpose, *numbers).integers(2**62, size=2)) for purpose in PURPOSES for numbers in NUMBERS]
    return len(first) - len(set(first))


def test_no_two_purposes_and_no_two_numbers_share_a_stream():
    assert len(PURPOSES) > 4
    assert shared(stream) == 0


@pytest.mark.parametrize('old', [lambda purpose, *numbers: np.random.default_rng(list(numbers)),
                                 lambda purpose, *numbers: np.random.default_rng([PURPOSES.index(purpose), *numbers])])
def test_this_is_seen_where_numbers_alone_are_the_seed(old): assert shared(old) > 100


def test_a_purpose_is_a_word_and_has_one_place():
    assert all(isinstance(call.args[0], ast.Constant) for _, call in calls('stream'))
    assert all(purpose.isidentifier() for purpose in PURPOSES) and len(set(PURPOSES)) == len(PURPOSES)


def test_streams_of_several_numbers_are_made_by_stream_alone():
    several = ast.List, ast.Tuple, ast.Starred, ast.BinOp
    for path, call in calls('default_rng', 'SeedSequence', 'RandomState', 'PCG64'):
        assert path == 'seeds.py' or not any(isinstance(o, several) for o in call.args), f'{path} line {call.lineno}'


def test_what_is_seeded_with_one_number_is_not_seeded_with_a_zero_more():
    def drawn(*seeds):
        seed_all(*seeds)
        return random.random(), np.random.random(), torch.rand(1).item()
    assert drawn(3) == drawn(3) == drawn(np.int64(3))
    for a, b in zip(drawn(3), drawn(3, 0)): assert a != b
    for a, b in zip(drawn(0), drawn()): assert a != b
