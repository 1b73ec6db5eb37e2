"Files and folders that are whole or absent"
import errno, os, signal, subprocess, sys
from pathlib import Path

import pytest

from mammo_uda.core import files
from mammo_uda.core.files import UserError, content_key, reserve, whole_folder, write_whole


def names(folder): return sorted(p.name for p in folder.iterdir())


def test_write_whole_replaces_and_keeps_nothing_else(tmp_path):
    for data in ('one', b'two'): write_whole(tmp_path/'a.txt', data)
    assert (tmp_path/'a.txt').read_bytes() == b'two'
    assert names(tmp_path) == ['a.txt']


def test_write_whole_keeps_the_old_file_when_writing_fails(tmp_path, monkeypatch):
    write_whole(tmp_path/'a.txt', 'old')
    def full(fd): raise OSError(errno.ENOSPC, 'No space left on device')
    monkeypatch.setattr(os, 'fsync', full)
    with pytest.raises(OSError): write_whole(tmp_path/'a.txt', 'new')
    assert (tmp_path/'a.txt').read_text() == 'old'
    assert names(tmp_path) == ['a.txt']


def test_whole_folder_refuses_a_folder_with_files_before_the_block_runs(tmp_path):
    (tmp_path/'store').mkdir()
    (tmp_path/'store'/'mine.txt').write_text('precious')
    with pytest.raises(UserError, match='already holds files'):
        with whole_folder(tmp_path/'store'): pytest.fail('the block must not run')
    assert (tmp_path/'store'/'mine.txt').read_text() == 'precious'


def test_whole_folder_refuses_a_file_of_that_name(tmp_path):
    (tmp_path/'store').write_text('a file')
    with pytest.raises(UserError):
        with whole_folder(tmp_path/'store'): pass


def test_whole_folder_after_a_kill_starts_clean(tmp_path):
    code = ("import os, signal; from mammo_uda.core.files import whole_folder\n"
            "with whole_folder('store') as f: (f/'half').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)")
    root = Path(files.__file__).parents[2]
    r = subprocess.run([sys.executable, '-c', code], cwd=tmp_path, env={**os.environ, 'PYTHONPATH': str(root)})
    assert r.returncode == -signal.SIGKILL
    assert not (tmp_path/'store').exists()
    with whole_folder(tmp_path/'store') as f: (f/'whole').write_text('x')
    assert names(tmp_path) == ['store'] and names(tmp_path/'store') == ['whole']


@pytest.mark.parametrize('no', [errno.ENOSPC, errno.EDQUOT])
def test_full_disk_is_one_sentence_and_leaves_no_file(tmp_path, monkeypatch, no):
    def full(*args): raise OSError(no, os.strerror(no))
    monkeypatch.setattr(os, 'posix_fallocate', full, raising=False)
    with pytest.raises(UserError, match=r'1,000 bytes are needed and [\d,]+ are free'): reserve(tmp_path/'a', 1000)
    assert names(tmp_path) == []


def test_other_errors_stay_themselves(tmp_path, monkeypatch):
    def broken(*args): raise OSError(errno.EIO, 'Input/output error')
    monkeypatch.setattr(os, 'posix_fallocate', broken, raising=False)
    with pytest.raises(OSError, match='Input/output'): reserve(tmp_path/'a', 1000)


def test_reserve_writes_zeros_where_blocks_cannot_be_reserved(tmp_path, monkeypatch):
    def unsupported(*args): raise OSError(errno.EOPNOTSUPP, 'Operation not supported')
    monkeypatch.setattr(os, 'posix_fallocate', unsupported, raising=False)
    n = 2**20 + 3
    assert reserve(tmp_path/'a', n).read_bytes() == bytes(n)
    monkeypatch.delattr(os, 'posix_fallocate')
    assert reserve(tmp_path/'b', n).stat().st_size == n


def test_content_key_knows_no_order_no_path_and_no_nan(tmp_path):
    assert content_key({'b': [1, 2.5], 'a': None}) == content_key({'a': None, 'b': [1, 2.5]})
    assert content_key('film') == content_key('film') != content_key('digital')
    for bad in (tmp_path, {'x': float('nan')}):
        with pytest.raises((TypeError, ValueError)): content_key(bad)
