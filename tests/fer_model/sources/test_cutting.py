"""Pieces and samples of videos that are hard to cut have the pictures of the whole."""

import os
from collections.abc import Callable
from math import floor
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fer_model.sources.container import opened
from fer_model.sources.index import index_video
from fer_model.sources.opening import open_media
from fer_model.sources.sampling import Sampling, select
from fer_model.sources.video import frames_from, read_video
from tests.support.clips import write_clip
from tests.support.pieces import OPEN, PICTURES, assert_pieces_equal_whole, place


def altered(path: Path, old: bytes, new: bytes) -> Path:
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new))
    return path


OPEN_HEVC = {"x265-params": "open-gop=1:bframes=4:b-pyramid=1:keyint=12:min-keyint=12:scenecut=0:log-level=none"}
LAYERS = {"preset": "fast", "x265-params": "temporal-layers=3:bframes=7:b-pyramid=1:log-level=error"}
CUES, KEY, NO_KEY = b"\x1c\x53\xbb\x6b", b"00dc\x10\0\0\0", b"00dc\0\0\0\0"
CLIPS: dict[str, Callable[[Path], Path]] = {
    "H.264 in one group": lambda at: write_clip(at / "a.mp4", PICTURES, bframes=3, gop=250),
    "HEVC": lambda at: write_clip(at / "a.mp4", PICTURES, codec="libx265", bframes=3, gop=20),
    "HEVC in layers": lambda at: write_clip(at / "a.mp4", PICTURES, codec="libx265", gop=20, options=LAYERS),
    "H.264 in open groups": lambda at: write_clip(at / "a.mp4", PICTURES, options=OPEN),
    "HEVC in open groups": lambda at: write_clip(at / "a.mkv", PICTURES, codec="libx265", options=OPEN_HEVC),
    "MPEG-2": lambda at: write_clip(at / "a.mkv", PICTURES, codec="mpeg2video", bframes=2, gop=9),
    "JPEG": lambda at: write_clip(at / "a.mkv", PICTURES, codec="mjpeg", options={"strict": "unofficial"}),
    "AV1": lambda at: write_clip(at / "a.mp4", PICTURES, codec="libsvtav1", gop=15, options={"preset": "12"}),
    "VP9": lambda at: write_clip(at / "a.webm", PICTURES, codec="libvpx-vp9", gop=20),
    "MPEG-4": lambda at: write_clip(at / "a.avi", PICTURES, codec="mpeg4", gop=12),
    "variable rate": lambda at: write_clip(at / "a.mkv", PICTURES, pts=[n * n for n in range(60)], bframes=2),
    "begins late": lambda at: write_clip(at / "a.mov", PICTURES, start=5000, bframes=2, gop=20),
    "edit list": lambda at: write_clip(at / "a.mp4", PICTURES, start=-200, bframes=2),
    "no index (mkv)": lambda at: write_clip(at / "a.mkv", PICTURES, gop=20, container_options={"live": "1"}),
    "lost index (mkv)": lambda at: altered(write_clip(at / "a.mkv", PICTURES, gop=20), CUES, CUES[:3] + b"\x6a"),
    "lost index (avi)": lambda at: altered(write_clip(at / "a.avi", PICTURES, codec="mpeg4", gop=12), b"idx1", b"JUNK"),
    "index that calls every frame a keyframe (avi)": lambda at: altered(
        write_clip(at / "a.avi", PICTURES, codec="mpeg4", gop=12), NO_KEY, KEY
    ),
    "index that calls every frame a keyframe (mp4)": lambda at: altered(
        write_clip(at / "a.mp4", PICTURES, gop=20), b"stss", b"free"
    ),
}
"""One of each kind that is hard to cut."""


@pytest.fixture(scope="module", params=CLIPS)
def hard(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(CLIPS[request.param](tmp_path_factory.mktemp("hard")))


@settings(max_examples=6, deadline=None)
@given(data=st.data())
def test_any_way_of_cutting_gives_the_same_frames(hard: str, data: st.DataObject) -> None:
    times = index_video(hard).times_ms.tolist()
    # No cut between frames of the same millisecond.
    possible = [n for n in range(1, len(times)) if times[n] != times[n - 1]]
    cuts = [0, *sorted(data.draw(st.sets(st.sampled_from(possible), max_size=6)))]
    ends = [*(times[n] for n in cuts[1:]), None]
    pieces = [
        place(frame)
        for first, end_ms in zip(cuts, ends, strict=True)
        for frame in read_video(hard, start_ms=times[first], end_ms=end_ms, start_frame=first, threads=1)
    ]
    assert pieces == [place(frame) for frame in read_video(hard, threads=1)]
    assert len(pieces) == len(times)


@pytest.mark.parametrize("codec", ["libx264", "libx265", "mpeg4"])
@pytest.mark.parametrize("fps", [1.0, 3.0])
def test_a_sample_has_the_pictures_of_the_whole_and_decodes_fewer(tmp_path: Path, codec: str, fps: float) -> None:
    path = str(write_clip(tmp_path / "a.mp4", PICTURES, codec=codec, gop=30, bframes=3))
    whole = [place(frame) for frame in read_video(path, threads=1)]
    expected = list(select(Sampling(fps=fps), whole))
    assert [place(frame) for frame in read_video(path, sampling=Sampling(fps=fps), threads=2)] == expected
    with open_media(path) as file, opened(file, 1) as (container, stream):
        decoded = list(frames_from(container, stream, sampling=Sampling(fps=fps)))
    assert {frame.place for frame in decoded} >= {index for index, *_ in expected}
    assert len(decoded) < 0.7 * len(whole), "most of the bidirectional pictures"


@pytest.mark.parametrize(
    ("codec", "suffix"),
    [("libx264", "mp4"), ("libx265", "mkv"), ("libvpx-vp9", "webm"), ("libsvtav1", "mp4"), ("mpeg4", "avi")],
)
def test_what_lies_behind_the_last_wanted_picture_of_a_group_is_not_decoded(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    options = {"preset": "12"} if codec == "libsvtav1" else None
    path = write_clip(tmp_path / f"a.{suffix}", PICTURES, codec=codec, gop=5, options=options)
    for start_ms, expected in ((0, [0, 25, 50]), (600, [0, 10, 35])):
        with open_media(str(path)) as file, opened(file, 1) as (container, stream):
            frames = list(frames_from(container, stream, start_ms, sampling=Sampling(fps=1)))
        assert {frame.place for frame in frames} >= set(expected)
        assert len(frames) <= 5, "three keyframes; at most two pictures more, if the piece begins within a group"


@pytest.mark.parametrize("first", [19, 25, 38, 45])
@pytest.mark.parametrize("most_bytes", [2**26, 4000])
def test_a_damaged_picture_is_replaced_as_if_all_were_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int, most_bytes: int
) -> None:
    path = write_clip(tmp_path / "a.mp4", PICTURES, gop=10, bframes=2)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    content = bytearray(path.read_bytes())
    for packet in packets[first : first + 2]:
        assert packet.pos is not None
        content[packet.pos : packet.pos + packet.size] = bytes(packet.size)
    path.write_bytes(content)

    def samples() -> list[list[tuple[int, int, str]]]:
        return [
            [place(frame) for frame in read_video(str(path), start_ms=start_ms, sampling=Sampling(fps=fps), threads=1)]
            for fps in (1, 1.3, 2.5)
            for start_ms in (0, 600)
        ]

    monkeypatch.setattr("fer_model.sources.skipping.MOST_BYTES", most_bytes)
    with_jumps = samples()
    monkeypatch.setattr("fer_model.sources.video._ATTEMPTS", 0)
    assert with_jumps == samples()


@pytest.mark.parametrize("suffix", ["mp4", "ts"])
def test_in_temporal_layers_no_picture_before_a_wanted_one_is_left_out(tmp_path: Path, suffix: str) -> None:
    path = write_clip(tmp_path / f"a.{suffix}", PICTURES, codec="libx265", gop=250, options=LAYERS)
    with open_media(str(path)) as file, opened(file, 1) as (container, stream):
        places = {frame.place for frame in frames_from(container, stream, sampling=Sampling(fps=1))}
    assert places >= set(range(45)), "the last wanted one is number 50"


def test_pieces_of_a_video_of_two_frames_a_millisecond_are_the_whole(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "a.mp4", PICTURES, fps=2000, gop=4)
    for every in (1, 3):
        assert_pieces_equal_whole(path, Sampling(every=every), 8)


@settings(max_examples=10, deadline=None)
@given(fps=st.floats(0.3, 40), data=st.data())
def test_a_sample_from_anywhere_has_the_pictures_of_the_whole(hard: str, fps: float, data: st.DataObject) -> None:
    """The piece may begin in the middle of a period, at a picture that no other is predicted from."""
    times = index_video(hard).times_ms.tolist()
    first = data.draw(st.sampled_from([n for n in range(len(times)) if n == 0 or times[n] != times[n - 1]]))
    part = {"start_ms": times[first], "start_frame": first, "threads": 1}
    whole = [place(frame) for frame in read_video(hard, **part)]
    sample = [place(frame) for frame in read_video(hard, sampling=Sampling(fps=fps), **part)]
    assert sample == list(select(Sampling(fps=fps), whole))


@settings(max_examples=5, deadline=None)
@given(fps=st.floats(0.3, 30), shard_ms=st.integers(400, 2000))
def test_the_nearest_frames_do_not_depend_on_the_cuts(hard: str, fps: float, shard_ms: int) -> None:
    sampling, pictures = Sampling(fps=fps, nearest=True), {place(frame) for frame in read_video(hard, threads=1)}
    assert_pieces_equal_whole(Path(hard), sampling, shard_ms)
    sample = [place(frame) for frame in read_video(hard, sampling=sampling, threads=1)]
    assert set(sample) <= pictures
    intervals = [[floor((time_ms + 0.5) * fps / 1000 + 0.5) for _, time_ms, _ in each] for each in (sample, pictures)]
    assert intervals[0] == sorted(set(intervals[1]))


def test_the_nearest_frames_are_keyframes_where_there_are_some(tmp_path: Path) -> None:
    path = str(write_clip(tmp_path / "a.mp4", PICTURES, gop=10, bframes=2))
    nearest = [frame.time_ms for frame in read_video(path, sampling=Sampling(fps=1.1, nearest=True))]
    assert nearest == [0, 800, 2000, 2360], "the keyframes are 400 ms apart; there is none in the last interval"
    with open_media(path) as file, opened(file, 1) as (container, stream):
        chosen = set(nearest[:3])
        frames = list(frames_from(container, stream, keeps=lambda time_ms: time_ms in chosen))
    assert [frame.time_ms for frame in frames] == nearest[:3], "nothing else is decoded"


def test_an_encoder_leaves_the_priority_of_its_process_alone(tmp_path: Path) -> None:
    """Else every later process of these tests would have it too: a browser at real-time priority stops all others."""
    write_clip(tmp_path / "a.mp4", PICTURES[:5], codec="libsvtav1", options={"preset": "12"})
    assert os.sched_getscheduler(0) == os.SCHED_OTHER
