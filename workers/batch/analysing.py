"""Analyses a shard's pictures, or its segment of a video, into the shard's rows."""

import errno
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from fer_model.analysis.analyser import Analyser, SourceState
from fer_model.analysis.observing import Follow
from fer_model.analysis.tracking import face_tracker, lost_ms
from fer_model.engines import Engine
from fer_model.networks.manifest import ModelSet
from fer_model.sources.sampling import Sampling
from fer_model.types import FaceObservation, Frame
from results.leases import Claim
from results.tables import Media
from workers.batch import crops
from workers.batch.planning import BatchOptions
from workers.batch.rows import ShardRows
from workers.batch.seams import Seam, after, through
from workers.batch.sources import photographs, video_frames
from workers.errors import CropsRefusedError
from workers.metrics import recording

UNWRITABLE = (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.ENOSPC, errno.EDQUOT)
"""What the system answers where no other attempt could write a file either."""

DEFAULT_FPS = 25.0
"""The frame rate of a video that does not name one."""


@dataclass(frozen=True)
class Work:
    """What the analysis of a shard needs.

    `roots` are the folders media must lie below, `crops` is where face crops go, if they are kept, and `check`
    raises if the work must end early.
    """

    claim: Claim
    media: Sequence[Media]
    options: BatchOptions
    models: ModelSet
    engine: Engine
    roots: Sequence[str]
    crops: crops.Kept | None
    check: Callable[[], None]


def analyse_shard(work: Work, rows: ShardRows) -> None:
    """Fills `rows`; raises `FerModelError`, and what `check` raises."""
    if work.claim.media_id is None:
        _analyse_pictures(work, rows)
    else:
        _analyse_segment(work, work.claim.media_id, rows)


def _analyse_pictures(work: Work, rows: ShardRows) -> None:
    media_ids: deque[int] = deque()

    def frames() -> Iterator[Frame]:
        for media_id, frame in photographs(work.media, work.roots, rows.media, rows.missing):
            media_ids.append(media_id)
            yield frame

    for frame, faces in _analysed(work, frames(), _source(work)):
        _add(work, rows, media_ids.popleft(), frame, faces)


def _analyse_segment(work: Work, media_id: int, rows: ShardRows) -> None:
    claim = work.claim
    rate, apart = _pace(work)
    seam, follow = Seam(claim.end_ms, lost_ms(rate, apart)), face_tracker(rate, apart=apart)
    # Up to and including the first frame of the next segment, which is the seam.
    frames = through(video_frames(claim, work.media[0], work.options, work.roots, work.check), claim.end_ms)
    for frame, faces in _analysed(work, frames, _source(work, follow), work.options.detected):
        if not seam.note(frame, faces):
            _add(work, rows, media_id, frame, faces)
    _look_beyond(work, seam, follow)
    rows.seam = None if claim.end_ms is None else seam.rows


def _look_beyond(work: Work, seam: Seam, follow: Follow) -> None:
    """Follows tracks that are occluded at the seam into the next segment.

    It begins with the shared frame, as the next segment does: what is found between two detected frames depends on
    both.
    """
    if seam.shared is None or (until := seam.waits_until()) is None:
        return
    beyond = replace(work.claim, start_ms=seam.shared.time_ms, start_frame=seam.shared.index)
    rest = video_frames(beyond, work.media[0], work.options, work.roots, work.check, until + 1)
    source = _source(work, after(seam.shared.time_ms, follow))
    with closing(_analysed(work, rest, source, work.options.detected)) as seen:
        seam.wait(seen)


def _analysed(
    work: Work, frames: Iterator[Frame], source: SourceState, detect_on: Sampling | None = None
) -> Generator[tuple[Frame, list[FaceObservation]]]:
    analyser, read = Analyser(work.engine, work.models), _checked(frames, work.check)
    kept, refine = work.options.keep_member_scores, work.options.detect_every == "auto" and detect_on is not None
    seen = analyser.frames(read, source, detect_on, refine=refine, keep_members=kept, on_batch=recording.batch_done)
    with closing(seen) as found:
        for frame, faces in found:
            work.check()
            yield frame, faces


def _checked(frames: Iterator[Frame], check: Callable[[], None]) -> Iterator[Frame]:
    for frame in frames:
        check()
        yield frame


def _add(work: Work, rows: ShardRows, media_id: int, frame: Frame, faces: Sequence[FaceObservation]) -> None:
    rows.add(media_id, frame, faces)
    if work.crops:
        _keep_crops(work.crops, media_id, frame, faces)
    recording.frame_done(len(faces))


def _keep_crops(kept: crops.Kept, media_id: int, frame: Frame, faces: Sequence[FaceObservation]) -> None:
    try:
        crops.keep(kept, media_id, frame, faces)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        # No fault of the picture, and trying again would not help.
        place, reason = kept.folder.parent, os.strerror(error.errno)
        raise CropsRefusedError(f"pictures of faces (--keep-crops) cannot be written in {place}: {reason}") from error


def _source(work: Work, follow: Follow | None = None) -> SourceState:
    return SourceState(work.options.detection_threshold, follow)


def _pace(work: Work) -> tuple[float, float]:
    """Frames that are looked at per second, and the most periods between two of them that follow each other."""
    rate = (work.media[0].fps or DEFAULT_FPS) / work.options.every
    # The nearest frames of two neighbouring samples may be almost two periods apart.
    return min(rate, work.options.fps or rate), 2.0 if work.options.nearest else 1.0
