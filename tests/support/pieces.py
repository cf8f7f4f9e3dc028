"""What a video gives in pieces, held against what it gives as a whole."""

import hashlib
from pathlib import Path

from fer_model.sources import open_source
from fer_model.sources.index import index_video
from fer_model.sources.sampling import Sampling
from fer_model.sources.segments import cut
from fer_model.sources.video import read_video
from fer_model.types import Frame
from tests.support.clips import noise_picture, panning_frames

PICTURES = list(panning_frames(noise_picture(), 60))

OPEN = {"preset": "fast", "x264-params": "open-gop=1:bframes=3:keyint=12:min-keyint=12:scenecut=0"}
"""Options of x264 for open groups: pictures shown before a keyframe are predicted from before it too."""


def place(frame: Frame) -> tuple[int, int, str]:
    """Index, time in ms and a digest of the pixels."""
    return frame.index, frame.time_ms, hashlib.sha256(frame.image.tobytes()).hexdigest()


def assert_pieces_equal_whole(path: Path, sampling: Sampling, shard_ms: int) -> int:
    """Cuts the video into pieces of about `shard_ms`, and gives their number."""
    whole = [place(frame) for frame in read_video(str(path), sampling=sampling, threads=1)]
    segments = cut(index_video(str(path)), sampling, shard_ms)
    together = []
    for segment in segments:
        piece = open_source(
            str(path),
            kind="video",
            start_ms=segment.start_ms,
            end_ms=segment.end_ms,
            start_frame=segment.start_frame,
            sampling=sampling,
            threads=1,
        )
        here = [place(frame) for frame in piece]
        assert len(here) == segment.frames
        together += here
    assert together == whole
    return len(segments)
