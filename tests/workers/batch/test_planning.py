"""From paths to media and shards."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from fer_model.sources.index import VideoIndex, index_video
from tests.support.clips import noise_picture, panning_frames, write_clip
from tests.support.servers import FileServer, serving
from workers.batch import planning
from workers.batch.planning import PICTURES_PER_SHARD, BatchOptions, plan
from workers.errors import NothingToDoError


def test_a_folder_becomes_videos_in_segments_and_pictures_in_runs(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", panning_frames(noise_picture(), 100))
    for number in range(PICTURES_PER_SHARD + 3):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f"{number}.png")
    media, shards = plan([str(tmp_path)], BatchOptions(shard_seconds=1), ())
    videos = [shard for shard in shards if shard.video]
    pictures = [shard for shard in shards if not shard.video]
    assert len(media) == PICTURES_PER_SHARD + 4
    assert [(s.start_ms, s.end_ms, s.start_frame, s.planned_frames) for s in videos] == [
        (0, 1000, 0, 25),
        (1000, 2000, 25, 25),
        (2000, 3000, 50, 25),
        (3000, None, 75, 25),
    ]
    assert [shard.planned_frames for shard in pictures] == [PICTURES_PER_SHARD, 3]
    covered = [media[n].kind for s in pictures for n in range(s.first_position, s.last_position + 1)]
    assert covered.count("image") == PICTURES_PER_SHARD + 3


def test_sampling_is_planned(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", panning_frames(noise_picture(), 100))
    assert [s.planned_frames for s in plan([str(clip)], BatchOptions(every=10), ())[1]] == [10]
    assert [s.planned_frames for s in plan([str(clip)], BatchOptions(fps=5), ())[1]] == [20]


def test_what_cannot_be_read_fails_alone_and_says_why(tmp_path: Path) -> None:
    write_clip(tmp_path / "good.mp4", panning_frames(noise_picture(), 5))
    (tmp_path / "broken.mp4").write_bytes(b"not a video at all" * 50)
    (tmp_path / "empty.jpg").touch()
    media, shards = plan([str(tmp_path), str(tmp_path / "missing.jpg")], BatchOptions(), ())
    failed = {Path(m.uri).name: m.error for m in media if m.state == "failed"}
    assert set(failed) == {"broken.mp4", "empty.jpg", "missing.jpg"}
    assert all(error and error.startswith(str(tmp_path)) for error in failed.values())
    assert [shard.planned_frames for shard in shards] == [5]


def test_nothing_at_all_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(NothingToDoError, match=r"contains no picture or video.*does not exist"):
        plan([str(tmp_path), str(tmp_path / "nowhere")], BatchOptions(), ())


def test_options_survive_the_database() -> None:
    options = BatchOptions(fps=2.5, shard_seconds=10, detection_threshold=0.3, nearest=True)
    assert BatchOptions(**options.as_dict()) == options  # type: ignore[arg-type]


def test_only_so_much_time_is_spent_on_videos_and_none_on_pictures(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", panning_frames(noise_picture(), 100))
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    media, shards = plan([str(tmp_path)], BatchOptions(shard_seconds=1), (), patience_s=-1)
    assert [(medium.kind, medium.state, medium.frame_count) for medium in media] == [
        ("image", "pending", 1),
        ("video", "pending", None),
    ]
    assert [(each.video, each.start_ms, each.first_position) for each in shards] == [(True, None, 1), (False, None, 0)]


def test_what_lies_outside_the_roots_fails_alone(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "outside"
    for folder in (inside, outside):
        folder.mkdir()
        write_clip(folder / "clip.mp4", panning_frames(noise_picture(), 5))
    (inside / "link.mp4").symlink_to(outside / "clip.mp4")
    media, shards = plan([str(inside), str(outside)], BatchOptions(), [str(inside)])
    refused = {Path(medium.uri).relative_to(tmp_path): medium.error for medium in media if medium.state == "failed"}
    assert {str(name) for name in refused} == {"in/link.mp4", "outside"}
    assert all(str(error).endswith("lies outside FER_MEDIA_ROOTS") for error in refused.values())
    assert len(shards) == 1


@pytest.mark.parametrize(
    ("error", "state"),
    [(MemoryError(), "pending"), (KeyError("x"), "failed"), (OverflowError("x"), "failed"), (SystemError(), "failed")],
)
def test_whatever_opening_a_file_raises_it_alone_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, state: str
) -> None:
    for name in ("bad.mp4", "good.mp4"):
        write_clip(tmp_path / name, panning_frames(noise_picture(), 5))

    def index(uri: str, *rest: Any) -> VideoIndex:
        if uri.endswith("bad.mp4"):
            raise error
        return index_video(uri, *rest)

    monkeypatch.setattr(planning, "index_video", index)
    media, shards = plan([str(tmp_path)], BatchOptions(), ())
    assert [medium.state for medium in media] == [state, "pending"]
    assert media[0].error is None or media[0].error.startswith(f"{tmp_path}/bad.mp4: ")
    assert [each.planned_frames for each in shards] == ([0, 5] if state == "pending" else [5])


def test_a_file_that_takes_long_is_left_to_a_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "clip.mp4", panning_frames(noise_picture(), 100))
    late = iter([0.0, 0.0, 0.0, 0.0, *[99.0] * 1000])
    monkeypatch.setattr(planning, "monotonic", lambda: next(late))
    (medium,), (shard,) = plan([str(tmp_path)], BatchOptions(), (), patience_s=2)
    assert (medium.state, medium.frame_count, shard.start_ms, shard.video) == ("pending", None, None, True)


def test_servers_are_left_to_workers(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    with serving(FileServer({})) as server:
        remote = [f"{server.url}/a.mp4", *(f"{server.url}/{n}.jpg" for n in range(12))]
        media, shards = plan([str(tmp_path), *remote], BatchOptions(), [str(tmp_path), f"{server.url}/"])
        assert not server.requests
    assert {medium.state for medium in media} == {"pending"}
    # A slow server has to fail within the time of a shard, so its pictures come in smaller ones.
    assert [(each.video, each.first_position, each.last_position) for each in shards] == [
        (True, 1, 1),
        (False, 0, 0),
        (False, 2, 11),
        (False, 12, 13),
    ]
