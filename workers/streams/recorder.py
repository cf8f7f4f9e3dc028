"""What one stream writes: its results become rows, and one fenced append after another takes them to the database."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine as Database

from fer_model.sources.live.packets import CaptureEvent
from results import recording
from results.database import writing
from results.leases import Claim
from results.recording import Hour, Resumed
from workers.batch import crops
from workers.batch.rows import rows_of_faces, rows_of_scores
from workers.streams.pump import Seen
from workers.streams.tracks import Row, Tracks

logger = logging.getLogger(__name__)

HOURS = 3
"""Media whose next index is remembered: an event may be of the hour before."""


@dataclass
class Batch:
    """The rows of one append. Until the database has acknowledged it, it is repeated as it is."""

    seen: Sequence[Seen]
    figures: Mapping[str, Any]
    frames: list[Row] = field(default_factory=list)
    faces: list[Row] = field(default_factory=list)
    scores: list[Row] = field(default_factory=list)
    tracks: dict[tuple[int, int], Row] = field(default_factory=dict)
    events: list[tuple[int, datetime, str, str]] = field(default_factory=list)
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    crops: list[tuple[int, int, Sequence[bytes]]] = field(default_factory=list)

    def add_tracks(self, rows: Sequence[Row]) -> None:
        self.tracks |= {(row["media_id"], row["track_id"]): row for row in rows}


class Recorder:
    """Writes one stream under its lease. One thread calls it.

    `ensemble_id` is the ensemble in use, `kept` is where crops go.
    """

    def __init__(
        self, database: Database, claim: Claim, resumed: Resumed, ensemble_id: int | None, kept: crops.Kept | None
    ) -> None:
        self._database, self._claim, self._options = database, claim, resumed.options
        self._ensemble_id, self._kept = ensemble_id, kept
        self._appends, self._next_track_id = resumed.appends, resumed.next_track_id
        self._hours: OrderedDict[datetime, Hour] = OrderedDict()
        self._tracks = Tracks()
        self.waiting: Batch | None = None

    def gather(
        self,
        seen: Sequence[Seen],
        events: Sequence[CaptureEvent],
        figures: Callable[[], Mapping[str, Any]],
        lost_ms: float | None,
    ) -> None:
        """Makes the next batch; the one before must have been appended. `figures` is called once it is sure.

        Tracks that were not seen for `lost_ms` have ended and get their rows; with None all get theirs, and may go on.
        Raises what `append` raises if an hour must be looked up; nothing has changed then.
        """
        assert self.waiting is None
        for at_ms in (*(each.at_ms for each in seen), *(event.at_ms for event in events)):
            self._hour(at_ms)
        batch = Batch(seen, figures())
        for each in seen:
            self._add(batch, each)
        for event in events:
            batch.events.append((self._hour(event.at_ms).media_id, _moment(event.at_ms), event.kind, event.detail))
        if lost_ms is None:
            batch.add_tracks(self._tracks.rows())
        elif seen:
            batch.add_tracks(self._tracks.ended(seen[-1].at_ms, lost_ms))
        self.waiting = batch

    @property
    def has_open_tracks(self) -> bool:
        """Whether there are tracks without a row, or with an older one than their faces."""
        return not self._tracks.is_written

    def append(self) -> Sequence[Seen]:
        """Appends the batch that waits; returns its frames, which are committed.

        Raises:
            JobCancelledError, ShardLostError: nothing was written.
            DatabaseUnreachableError, DatabaseBusyError, DatabaseFullError, DatabaseReadOnlyError: call it again; it is
                known whether the rows were committed.
        """
        batch = self.waiting
        assert batch is not None
        with writing(self._database) as session:
            recording.append_stream(
                session,
                self._claim,
                self._appends,
                frames=batch.frames,
                faces=batch.faces,
                scores=batch.scores,
                tracks=list(batch.tracks.values()),
                events=batch.events,
                figures=batch.figures,
                sizes=batch.sizes,
                next_track_id=self._next_track_id,
                ensemble_id=self._ensemble_id,
            )
        self._appends += 1
        self.waiting = None
        # Not while a batch is gathered, which may be of many hours after an outage: each has one count of its frames.
        while len(self._hours) > HOURS:
            self._hours.popitem(last=False)
        self._write_crops(batch)
        return batch.seen

    def _write_crops(self, batch: Batch) -> None:
        """After the commit: another worker may have given a number to a frame of its own."""
        try:
            for place in batch.crops:
                if self._kept:
                    crops.write(self._kept, *place)
        except OSError as error:
            logger.error("crops of faces could not be written: %s", error)

    def _add(self, batch: Batch, seen: Seen) -> None:
        hour = self._hour(seen.at_ms)
        time_ms = seen.at_ms - _ms(hour.started_at)
        place = {"media_id": hour.media_id, "frame_index": hour.next_frame_index, "time_ms": time_ms}
        self._hours[hour.started_at] = replace(hour, next_frame_index=hour.next_frame_index + 1)
        batch.frames.append({**place, "faces": len(seen.faces)})
        batch.faces += rows_of_faces(place, seen.faces)
        if self._options.keep_member_scores:
            batch.scores += rows_of_scores(place, seen.faces)
        if seen.crops:
            batch.crops.append((hour.media_id, hour.next_frame_index, seen.crops))
        batch.add_tracks(self._tracks.add(hour.media_id, time_ms, seen.at_ms, seen.faces))
        batch.sizes[hour.media_id] = seen.size
        numbers = [face.track_id for face in seen.faces if face.track_id is not None]
        self._next_track_id = max([self._next_track_id, *(number + 1 for number in numbers)])

    def _hour(self, at_ms: int) -> Hour:
        began = _moment(at_ms // 3_600_000 * 3_600_000)
        if began not in self._hours:
            with writing(self._database) as session:
                self._hours[began] = recording.hour(session, self._claim, began)
        return self._hours[began]


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
