import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fer_model.atomic import create, left_by_umask, write_atomically


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_files_have_the_permissions_that_the_umask_leaves(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a", b"x")
        write_atomically(tmp_path / "face", b"x", 0o640)
        assert left_by_umask(0o777) == 0o777 & ~umask
    finally:
        os.umask(before)
    assert (tmp_path / "a").stat().st_mode & 0o777 == mode
    assert (tmp_path / "face").stat().st_mode & 0o777 == 0o640


def test_of_several_writers_at_once_each_puts_a_whole_file_in_place(tmp_path: Path) -> None:
    contents = [bytes([number]) * 2_000_000 for number in range(4)]
    path = tmp_path / "answers.npy"
    write_atomically(path, contents[0])
    with ThreadPoolExecutor() as pool:
        writers = [pool.submit(write_atomically, path, content) for content in contents * 3]
        while not all(writer.done() for writer in writers):
            assert path.read_bytes() in contents
    for writer in writers:
        writer.result()
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"precious")
    (tmp_path / "face").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        create(tmp_path / "face", 0o600)
    assert (tmp_path / "other").read_bytes() == b"precious"
