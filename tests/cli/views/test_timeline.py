"""The table of a timeline at several widths of a terminal."""

import io
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from cli.views.timeline import print_rows, shorten, timeline_tables
from fer_model.rendering.palette import COLOURS
from results.emotions import EMOTIONS

WIDTHS = (80, 100, 160)
CAMERA = "camera-entrance-2026-11-26T09-00-00-left-wing-000{}.mp4"
JAPANESE = "会議室の長い名前のビデオファイル二〇二六年.mp4"


def row(name: str | None, start_ms: int, track: int | None = None, faces: int = 1, **means: float) -> dict[str, Any]:
    values: dict[str, Any] = dict.fromkeys(EMOTIONS, 0.0) | means if means else dict.fromkeys(EMOTIONS)
    emotion = max(means, key=lambda each: means[each]) if means else None
    uri = name and f"/srv/media/{name}"
    place = {"uri": uri, "track_id": track, "start_ms": start_ms, "at": None}
    return {**place, "faces": faces, "emotion": emotion, **values}


ROWS = [
    row("clip.mp4", 0, faces=12_345, happy=0.9, surprise=0.1),
    row(CAMERA.format(1), 3_723_500, 12, surprise=0.51, disgust=0.49),
    row(CAMERA.format(2), 36_000_000, 12_345, surprise=0.4, angry=0.6),
    row(JAPANESE, 1000, 3, neutral=0.4, surprise=0.35),
    row("nobody.mp4", 2000),
    row(None, 5000, fear=0.6, sad=0.4),
]


def printed(rows: list[dict[str, Any]], width: int, **console: Any) -> list[str]:
    output = io.StringIO()
    Console(file=output, width=width, **console).print(*timeline_tables(rows, width), sep="")
    return output.getvalue().splitlines()


@pytest.mark.parametrize("width", WIDTHS)
def test_no_column_is_cut_but_the_name(width: int) -> None:
    lines = printed(ROWS, width)
    assert len(lines) == 1 + len(ROWS) and all(cell_len(line) <= width for line in lines)
    assert lines[0].split() == ["file", "time", "faces", "emotion", "mean", "then"]
    ends = ["surprise 10%", "disgust 49%", "surprise 40%", "surprise 35%", "no face", "sad 40%"]
    assert [line.rstrip().endswith(end) for line, end in zip(lines[1:], ends, strict=True)] == [True] * len(ROWS)
    for line, words in zip(
        lines[1:4], ("0:00:00 12,345 happy", "1:02:03.500 1 surprise", "10:00:00 1 angry"), strict=True
    ):
        assert words in " ".join(line.split())
    assert "90%" in lines[1] and "51%" in lines[2]


@pytest.mark.parametrize("width", WIDTHS)
def test_affect_takes_the_place_of_the_second_emotion(width: int) -> None:
    affect = [{"valence": 0.8, "arousal": -0.004}, {"valence": -0.51, "arousal": 0.59}]
    rows = [each | affect[n % 2] if each["emotion"] else each | dict.fromkeys(affect[0]) for n, each in enumerate(ROWS)]
    lines = printed(rows, width)
    assert all(cell_len(line) <= width for line in lines)
    assert lines[0].split() == ["file", "time", "faces", "emotion", "mean", "valence", "arousal"]
    assert lines[1].split()[-2:] == ["+0.80", "-0.00"] and lines[2].split()[-2:] == ["-0.51", "+0.59"]
    assert lines[5].rstrip().endswith("no face")


@pytest.mark.parametrize("width", WIDTHS)
def test_long_names_keep_their_endings_and_tracks(width: int) -> None:
    lines = printed(ROWS, width)
    assert "1.mp4 #12 " in lines[2] and "2.mp4 #12345 " in lines[3] and "年.mp4 #3 " in lines[4]
    assert lines[2].startswith("camer") and lines[1].startswith("clip.mp4 ") and lines[6].startswith("all files ")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_long_table_is_laid_out_in_parts_that_look_like_one(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = printed(ROWS, width)
    monkeypatch.setattr("cli.views.timeline.ROWS", 1)
    assert len(list(timeline_tables(ROWS, width))) == len(ROWS)
    assert printed(ROWS, width) == whole


def test_a_timeline_without_rows_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(iter(()))
    assert capsys.readouterr().out == "No rows.\n"


def test_a_wider_terminal_shows_more() -> None:
    narrow, wide, widest = ("\n".join(printed(ROWS, width)) for width in WIDTHS)
    assert narrow.count("…") == wide.count("…") == 3 and "…" not in widest
    assert f"{CAMERA.format(1)} #12" in widest and JAPANESE in widest
    assert len(wide.splitlines()[2].partition("…")[0]) > len(narrow.splitlines()[2].partition("…")[0])
    assert widest.count("█") > wide.count("█") == narrow.count("█"), "names first, then the bars"


def test_short_names_leave_room_for_bars_but_not_without_end() -> None:
    bars = [max(line.count("█") for line in printed([row("a.mp4", 0, happy=1.0)], width)) for width in (*WIDTHS, 400)]
    assert bars[0] >= 10 and bars == sorted(bars) and bars[-1] == 30


def test_bars_have_the_colours_of_the_report_and_words_those_of_the_terminal() -> None:
    line = printed([row("a.mp4", 0, happy=1.0)], 80, force_terminal=True, color_system="truecolor")[1]
    red, green, blue = COLOURS["happy"]
    bar = line[line.index("█") : line.rindex("█") + 1]
    assert f"\x1b[38;2;{red};{green};{blue}m{bar}\x1b[0m" in line and line.count("\x1b[") == 2


def test_markup_in_a_name_is_shown_as_it_is() -> None:
    assert printed([row("[bold]a.mp4", 0, happy=1.0)], 80)[1].startswith("[bold]a.mp4 ")


@pytest.mark.parametrize("name", ["short.mp4", CAMERA.format(1), JAPANESE])
@pytest.mark.parametrize("width", [5, 12, 13, 20, 200])
def test_a_shortened_name_fits(name: str, width: int) -> None:
    short = shorten(name, width)
    assert cell_len(short) <= width
    assert short == name or ("…" in short and name.startswith(short.split("…")[0].rstrip()))
    assert name.endswith(short.rpartition("…")[2])
