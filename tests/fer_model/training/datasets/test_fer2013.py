import bz2
import gzip
import lzma
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fer_model.errors import TrainingDataError
from fer_model.training.datasets.fer2013 import read_fer2013

PIXELS = np.random.default_rng(0).integers(0, 256, (4, 48 * 48))
ROWS = [
    f"{label},{' '.join(map(str, pixels))},{usage}"
    for label, pixels, usage in zip(
        (0, 6, 3, 2), PIXELS, ("Training", "Training", "PublicTest", "Training"), strict=True
    )
]
HEADER = "emotion,pixels,Usage"


def text(*rows: str, header: str = HEADER) -> bytes:
    return "\n".join((header, *rows)).encode() + b"\n"


def zipped(path: Path, content: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "not this one")
        archive.writestr("fer2013/fer2013.csv", content)


WRITERS: dict[str, Callable[[Path, bytes], object]] = {
    ".csv": Path.write_bytes,
    ".csv.gz": lambda path, content: path.write_bytes(gzip.compress(content)),
    ".csv.xz": lambda path, content: path.write_bytes(lzma.compress(content)),
    ".csv.bz2": lambda path, content: path.write_bytes(bz2.compress(content)),
    ".zip": zipped,
}


@pytest.mark.parametrize("suffix", WRITERS)
def test_one_usage_is_read_from_any_packing(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"fer2013{suffix}"
    WRITERS[suffix](path, text(*ROWS))
    faces = read_fer2013(path, "Training")
    assert faces.labels.tolist() == [0, 6, 2]
    assert faces.images.dtype == np.uint8
    np.testing.assert_array_equal(faces.images.reshape(3, -1), PIXELS[[0, 1, 3]])


def test_the_columns_of_the_challenge_have_spaces_and_another_order(tmp_path: Path) -> None:
    path = tmp_path / "icml_face_data.csv"
    label, pixels, usage = ROWS[0].split(",")
    path.write_bytes(text(f"{label},{usage},{pixels}", header="emotion, Usage, pixels"))
    assert read_fer2013(path, "Training").labels.tolist() == [0]


def test_the_challenge_file_is_read_with_spaces_in_its_cells_too(tmp_path: Path) -> None:
    path = tmp_path / "icml_face_data.csv"
    label, pixels, usage = ROWS[1].split(",")
    path.write_bytes(text(f"{label}, {usage}, {pixels}", header="emotion, Usage, pixels"))
    faces = read_fer2013(path, "Training")
    assert faces.labels.tolist() == [6]
    np.testing.assert_array_equal(faces.images.reshape(1, -1), PIXELS[[1]])


@pytest.mark.parametrize("usage", ["training", "TRAINING", " Training "])
def test_a_usage_may_be_written_in_upper_or_lower_case(tmp_path: Path, usage: str) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(text(*ROWS))
    assert read_fer2013(path, usage).labels.tolist() == [0, 6, 2]


def test_what_spreadsheets_make_of_a_table_is_read(tmp_path: Path) -> None:
    """A byte order mark, Windows' line ends, quotes around every cell."""
    path = tmp_path / "fer2013.CSV"
    quoted = [",".join(f'"{cell}"' for cell in row.split(",")) for row in (HEADER, *ROWS)]
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(quoted).encode())
    assert read_fer2013(path, "Training").labels.tolist() == [0, 6, 2]


def test_the_table_is_found_among_others_in_an_archive(tmp_path: Path) -> None:
    path = tmp_path / "challenge.ZIP"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("__MACOSX/._icml_face_data.csv", b"\0\5\x16\7")
        archive.writestr("train.csv", b"emotion,pixels\n")
        archive.writestr("challenge/icml_face_data.csv", text(*ROWS))
    assert read_fer2013(path, "Training").labels.tolist() == [0, 6, 2]


def test_a_large_table_does_not_need_large_memory(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(text(*ROWS * 150))
    tracemalloc.start()
    try:
        faces = read_fer2013(path, "Training")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.5 * faces.images.nbytes < path.stat().st_size


GOOD = ROWS[0]
LABEL, IMAGE, USAGE = GOOD.split(",")


@pytest.mark.parametrize(
    ("row", "complaint"),
    [
        (f"7,{IMAGE},Training", "row 3: the emotion '7' is not a number from 0 to 6"),
        (f"-1,{IMAGE},Training", "row 3: the emotion '-1'"),
        (f"²,{IMAGE},Training", "row 3: the emotion '²'"),
        (f"happy,{IMAGE},Training", "row 3: the emotion 'happy'"),
        (f",{IMAGE},Training", "row 3: the emotion ''"),
        ("0,1 2 3,Training", "row 3: 3 pixels instead of 2304"),
        ("0,,Training", "row 3: 0 pixels instead of 2304"),
        (f"0,{IMAGE} 5,Training", "row 3: 2305 pixels instead of 2304"),
        (f"0,{IMAGE} x,Training", "row 3: a pixel is not a number from 0 to 255"),
        (f"0,{IMAGE} 1.5,Training", "row 3: a pixel is not"),
        (f"0,{IMAGE} 256,Training", "row 3: a pixel is not"),
        (f"0,{IMAGE} -1,Training", "row 3: a pixel is not"),
        (f"0,{' '.join(['1'] * 64 * 64)},Training", "row 3: 4096 pixels instead of 2304 (48 x 48)"),
        (f"0,{' '.join(['200'] * 224 * 224)},Training", "row 3: 50176 pixels instead of 2304 (48 x 48)"),
        (f"{'1' * 5000},{IMAGE},Training", "row 3: the emotion '1111"),
        (f"0,{IMAGE},", "row 3: the Usage is empty"),
        (f"0,{IMAGE[:99]}", "row 3: the Usage is empty"),
        (f"\n0,{IMAGE} x,Training", "row 4: a pixel is not"),
        (f'0,"{IMAGE},Training' + "\n0" * 2**19, "row 3: is not CSV (field larger than field limit"),
    ],
)
def test_a_wrong_row_is_named(tmp_path: Path, row: str, complaint: str) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(text(GOOD, row))
    with pytest.raises(TrainingDataError) as caught:
        read_fer2013(path, "Training")
    assert str(caught.value).startswith(f"{path}: {complaint}")


def test_wrong_rows_of_another_usage_do_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(text(GOOD, "9,1,PrivateTest"))
    assert len(read_fer2013(path, "Training").labels) == 1


@pytest.mark.parametrize("column", HEADER.split(","))
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(text(GOOD, header=HEADER.replace(column, "other")))
    with pytest.raises(TrainingDataError, match=f"the column '{column}' is missing"):
        read_fer2013(path, "Training")


def test_an_unknown_usage_is_named(tmp_path: Path) -> None:
    path = tmp_path / "fer2013.csv"
    path.write_bytes(text(GOOD))
    with pytest.raises(TrainingDataError, match=r"has no row whose Usage is 'PrivateTest' \(found \['Training'\]\)$"):
        read_fer2013(path, "PrivateTest")


@pytest.mark.parametrize("suffix", [suffix for suffix in WRITERS if suffix != ".csv"])
@pytest.mark.parametrize("damage", ["cut off", "garbled", "another format"])
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str, damage: str) -> None:
    path = tmp_path / f"fer2013{suffix}"
    WRITERS[suffix](path, text(*ROWS))
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(
        {
            "cut off": content[:half],
            "garbled": content[: half - 200] + b"\xff\0" * 200 + content[half + 200 :],
            "another format": b"emotion",
        }[damage]
    )
    with pytest.raises(TrainingDataError, match=r"fer2013.*: "):
        read_fer2013(path, "Training")


def test_files_that_are_not_there_or_empty_are_named(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match=r"no\.csv: cannot be read .*No such file"):
        read_fer2013(tmp_path / "no.csv", "Training")
    empty = tmp_path / "empty.csv"
    empty.touch()
    with pytest.raises(TrainingDataError, match="the column 'emotion' is missing"):
        read_fer2013(empty, "Training")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing here")
    with pytest.raises(TrainingDataError, match=r"a\.zip: holds no \.csv"):
        read_fer2013(tmp_path / "a.zip", "Training")


def test_an_archive_with_a_password_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    zipped(path, text(*ROWS))
    content = path.read_bytes()
    # Bit 0 of the flags marks encryption: at 6 in each local header, at 8 in each entry of the directory.
    for mark, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.rindex(mark) + offset
        content = content[:place] + b"\1" + content[place + 1 :]
    path.write_bytes(content)
    with pytest.raises(TrainingDataError, match=r"a\.zip: cannot be read .*password required"):
        read_fer2013(path, "Training")


def test_the_real_public_test_has_3589_faces(shared_data: Path) -> None:
    faces = read_fer2013(shared_data / "fer2013" / "fer2013.csv.xz", "PublicTest")
    assert faces.images.shape == (3589, 48, 48)
    assert np.bincount(faces.labels).tolist() == [467, 56, 496, 895, 653, 415, 607]
