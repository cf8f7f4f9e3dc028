"""From the paths a user gave to a plan: media, and shards of 10 to 60 seconds of work."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from math import inf
from time import monotonic
from typing import Any, Literal, Self

from fer_model.analysis.refining import ANCHORS
from fer_model.errors import TransientMediaError, UnreadableMediaError
from fer_model.sources.discover import Found, PassedOver, find_media, kind_of
from fer_model.sources.files import is_remote, without_query
from fer_model.sources.identity import UNKNOWN, Identity
from fer_model.sources.index import index_video
from fer_model.sources.sampling import Sampling
from fer_model.sources.segments import Segment, cut
from results.plans import MediaPlan, ShardPlan
from workers.errors import NothingToDoError

PICTURES_PER_SHARD = 50
REMOTE_PICTURES_PER_SHARD = 10
"""Fewer, since each may come from a server so slow that it takes minutes to fail."""

_UNPLANNED = ShardPlan(0, 0, planned_frames=0, video=True)


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a batch job is done; kept in the job's `options`.

    `every`, `fps` and `nearest` sample videos (see `Sampling`), `shard_seconds` is the length of a segment
    of video, `detection_threshold` the lowest score that counts as a face, 0..1. With
    `keep_member_scores` each classifier's own probabilities are kept too. Of videos, faces are looked for in
    every `detect_every`-th sampled frame, or in those that need it ("auto"), and followed in between. Pictures of the
    faces are kept in a folder of the job below `keep_crops`.
    """

    every: int = 1
    fps: float | None = None
    shard_seconds: float = 30.0
    detection_threshold: float = 0.4
    keep_member_scores: bool = False
    detect_every: int | Literal["auto"] = 1
    keep_crops: str | None = None
    nearest: bool = False

    @property
    def sampling(self) -> Sampling:
        """Which frames are looked at. Raises `ValueError` if the options contradict each other."""
        return Sampling(self.every, self.fps, self.nearest)

    @property
    def detected(self) -> Sampling:
        """In which frames of a video faces are looked for in any case; its segments begin there."""
        if self.detect_every == "auto":
            return ANCHORS
        return self.sampling.coarser(self.detect_every)

    def as_dict(self) -> dict[str, object]:
        """For the database; `of` is the inverse."""
        return asdict(self)

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Self:
        """The options in a job's `options`, which holds others too."""
        return cls(**{name: stored[name] for name in cls.__dataclass_fields__ if name in stored})


def plan(
    paths: Sequence[str],
    options: BatchOptions,
    roots: Sequence[str],
    on_medium: Callable[[MediaPlan], None] = lambda medium: None,
    patience_s: float = inf,
    passed_over: PassedOver | None = None,
) -> tuple[list[MediaPlan], list[ShardPlan]]:
    """What there is to do, in the order of the paths; calls `on_medium` for each file as it is found.

    `roots` is where media must lie, as in `Settings.permitted_roots`. The media are those that are there now; what is
    added to a folder later is not part of the job. Videos are looked into for `patience_s` seconds, and each for at
    most as long; the others, and all on servers, become one shard each, which the worker that claims it cuts
    (`look_into`). A file that cannot be read becomes a medium that failed, with the reason. `passed_over` counts what
    else lies in folders.

    Raises:
        NothingToDoError: there is no file at all; the message gives the reason for each path.
    """
    media: list[MediaPlan] = []
    shards: list[ShardPlan] = []
    for medium, segments in _media(paths, options, roots, patience_s, passed_over):
        shards += [replace(each, first_position=len(media), last_position=len(media)) for each in segments]
        media.append(medium)
        on_medium(medium)
    pictures = [n for n, medium in enumerate(media) if medium.kind == "image" and medium.state == "pending"]
    for far, group in groupby(pictures, lambda n: is_remote(media[n].uri)):
        run, most = list(group), REMOTE_PICTURES_PER_SHARD if far else PICTURES_PER_SHARD
        pieces = (run[start : start + most] for start in range(0, len(run), most))
        shards += [ShardPlan(piece[0], piece[-1], planned_frames=len(piece)) for piece in pieces]
    return media, shards


def look_into(
    uri: str,
    options: BatchOptions,
    roots: Sequence[str],
    check: Callable[[], None] = lambda: None,
    expected: Identity = UNKNOWN,
) -> tuple[MediaPlan, list[ShardPlan]]:
    """A video and its segments, as shards of the medium at position 0; `roots` as in `plan`.

    `check` is called often; an exception from it ends the probing. The file has to be the `expected` one.

    Raises:
        TransientMediaError: it could not be read now.
        UnreadableMediaError: it is no video, or lies outside FER_MEDIA_ROOTS.
    """
    index = index_video(uri, roots, check, expected)
    medium = replace(
        _medium(uri, "video", index.identity),
        width=index.width,
        height=index.height,
        fps=index.fps,
        duration_ms=index.duration_ms,
        frame_count=len(index.times_ms),
        ordered=index.ordered,
        error=index.warning,
    )
    segments = cut(index, options.sampling, round(options.shard_seconds * 1000), options.detected)
    return medium, [_shard(each) for each in segments]


def _media(
    paths: Sequence[str],
    options: BatchOptions,
    roots: Sequence[str],
    patience_s: float,
    passed_over: PassedOver | None,
) -> Iterator[tuple[MediaPlan, list[ShardPlan]]]:
    until = monotonic() + patience_s
    found = list(find_media(paths, roots, passed_over))
    if all(each.kind is None for each in found):
        raise NothingToDoError("; ".join(each.error or "" for each in found) or None)
    for each in found:
        if each.error:
            # A missing file has no kind, but the column must not be null.
            yield _failed(each.uri, each.kind or kind_of(each.uri) or "image", each.error), []
        elif each.kind == "image":
            yield replace(_medium(each.uri, "image", each.identity), frame_count=1), []
        elif is_remote(each.uri) or monotonic() > until:
            yield _medium(each.uri, "video", each.identity), [_UNPLANNED]
        else:
            yield _video(each, options, roots, patience_s)


def _video(
    found: Found, options: BatchOptions, roots: Sequence[str], patience_s: float
) -> tuple[MediaPlan, list[ShardPlan]]:
    uri = found.uri
    try:
        return look_into(uri, options, roots, deadline(patience_s, TransientMediaError()))
    except (TransientMediaError, MemoryError):
        # A worker will try again, three times.
        return _medium(uri, "video", found.identity), [_UNPLANNED]
    except UnreadableMediaError as error:
        return _failed(uri, "video", str(error)), []
    except Exception as error:  # one bad file must not end the planning of the others
        return _failed(uri, "video", f"{uri}: cannot be read ({type(error).__name__})"), []


def deadline(seconds: float, error: Exception) -> Callable[[], None]:
    """A `check` that raises `error` once so many seconds have passed."""
    until = monotonic() + seconds

    def check() -> None:
        if monotonic() > until:
            raise error

    return check


def _medium(uri: str, kind: str, known: Identity = UNKNOWN) -> MediaPlan:
    shown, query = without_query(uri)
    return MediaPlan(shown, kind, query=query, **asdict(known))


def _failed(uri: str, kind: str, error: str) -> MediaPlan:
    return replace(_medium(uri, kind), state="failed", error=error)


def _shard(segment: Segment) -> ShardPlan:
    return ShardPlan(
        0,
        0,
        planned_frames=segment.frames,
        video=True,
        start_ms=segment.start_ms,
        end_ms=segment.end_ms,
        start_frame=segment.start_frame,
    )
