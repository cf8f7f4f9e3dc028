"""From paths to media and shards."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.clips import noise_picture, panning_frames, write_clip
from workers.errors import NothingToDoError
from workers.planning import PICTURES_PER_SHARD, BatchOptions, plan


def test_a_folder_becomes_videos_in_segments_and_pictures_in_runs(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", panning_frames(noise_picture(), 100))
    for number in range(PICTURES_PER_SHARD + 3):
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / f"{number}.png")
    media, shards = plan([str(tmp_path)], BatchOptions(shard_seconds=1))
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
    assert [s.planned_frames for s in plan([str(clip)], BatchOptions(every=10))[1]] == [10]
    assert [s.planned_frames for s in plan([str(clip)], BatchOptions(fps=5))[1]] == [20]


def test_what_cannot_be_read_fails_alone_and_says_why(tmp_path: Path) -> None:
    write_clip(tmp_path / "good.mp4", panning_frames(noise_picture(), 5))
    (tmp_path / "broken.mp4").write_bytes(b"not a video at all" * 50)
    (tmp_path / "empty.jpg").touch()
    media, shards = plan([str(tmp_path), str(tmp_path / "missing.jpg")], BatchOptions())
    failed = {Path(m.uri).name: m.error for m in media if m.state == "failed"}
    assert set(failed) == {"broken.mp4", "empty.jpg", "missing.jpg"}
    assert all(error and error.startswith(str(tmp_path)) for error in failed.values())
    assert [shard.planned_frames for shard in shards] == [5]


def test_nothing_at_all_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(NothingToDoError, match=r"contains no picture or video.*does not exist"):
        plan([str(tmp_path), str(tmp_path / "nowhere")], BatchOptions())


def test_options_survive_the_database() -> None:
    options = BatchOptions(fps=2.5, shard_seconds=10, detection_threshold=0.3)
    assert BatchOptions(**options.as_dict()) == options  # type: ignore[arg-type]
