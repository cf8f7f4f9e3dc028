import os
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


def test_a_link_in_place_of_a_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"precious")
    (tmp_path / "face").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        create(tmp_path / "face", 0o600)
    assert (tmp_path / "other").read_bytes() == b"precious"
