"""The effect of smoothing on the tracks of a job: `python -m benchmarks.flicker --db URL [--job JOB]`.

For each video with tracks: changes of emotion per minute between sampled frames, unfiltered and with filters of several
widths; and, for each lasting change of the filtered track (a second of one emotion before it, a second of another after
it), its distance from the change of the unfiltered frames: the moment that best separates the two emotions.
"""

import argparse
from itertools import groupby
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from results.database import existing, reading
from results.jobs import get_job, newest_job
from results.read.face_filter import FaceFilter, filtered_faces
from results.read.parts import Part
from results.tables import Media

WIDTHS = (0.5, 1.0, 2.0)
LASTING_MS = 1000

Series = list[tuple[int, str]]
"""Time in milliseconds and emotion."""


def series_of(session: Session, job_id: str, media_id: int, smooth_s: float) -> list[Series]:
    """The tracks of a video."""
    faces = filtered_faces(Part(job_id, media_id), FaceFilter(smooth_s=smooth_s)).c
    wanted = select(faces.track_id, faces.time_ms, faces.emotion).where(faces.track_id.is_not(None))
    rows = session.execute(wanted.order_by(faces.track_id, faces.time_ms)).all()
    return [[(row[1], row[2]) for row in track] for _, track in groupby(rows, key=lambda row: row[0])]


def changes(track: Series) -> list[int]:
    """Indices in a track at which the emotion differs from the previous frame's."""
    return [n for n in range(1, len(track)) if track[n][1] != track[n - 1][1]]


def a_minute(tracks: list[Series]) -> float:
    """Changes per minute of the tracks' time."""
    minutes = sum(track[-1][0] - track[0][0] for track in tracks) / 60_000
    return sum(len(changes(track)) for track in tracks) / minutes if minutes else 0.0


def shifts(raw: Series, smooth: Series, half_ms: float) -> list[float]:
    """For each lasting change of the smoothed track, its distance from the raw one's in milliseconds."""
    edges = [0, *changes(smooth), len(smooth)]
    found: list[float] = []
    for before, here, after in zip(edges, edges[1:], edges[2:], strict=False):
        lasted = smooth[here - 1][0] - smooth[before][0], smooth[after - 1][0] - smooth[here][0]
        if min(lasted) >= LASTING_MS:
            first, second = smooth[here - 1][1], smooth[here][1]
            near = [n for n in range(before, after) if abs(raw[n][0] - smooth[here][0]) <= 4 * half_ms]
            parts = {split: _fit(raw, near, split, first, second) for split in near}
            best = max(parts.values())
            # With frames of a third emotion, several splits fit equally well.
            found.append(min(abs(raw[n][0] - smooth[here][0]) for n, fit in parts.items() if fit == best))
    return found


def _fit(raw: Series, near: list[int], split: int, first: str, second: str) -> int:
    """How many frames near a change have the expected emotion if it is at `split`."""
    return sum(raw[n][1] == (first if n < split else second) for n in near)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--db", required=True)
    parser.add_argument("--job")
    arguments = parser.parse_args()
    with reading(existing(arguments.db)) as session:
        job = get_job(session, arguments.job) if arguments.job else newest_job(session)
        videos = select(Media).where(Media.job_id == job.id, Media.kind == "video").order_by(Media.position)
        for medium in session.scalars(videos).all():
            raw = series_of(session, job.id, medium.id, 0)
            if not raw:
                continue
            print(f"{Path(medium.uri).name}: {len(raw)} tracks, {a_minute(raw):.1f} changes a minute unfiltered")
            for width in WIDTHS:
                smooth = series_of(session, job.id, medium.id, width)
                moved = [shift for pair in zip(raw, smooth, strict=True) for shift in shifts(*pair, width * 500)]
                moves = f"{len(moved)} lasting changes, moved by at most {max(moved, default=0):.0f} ms"
                rate = f"{a_minute(smooth):5.1f} a minute"
                print(f"  {width:>3} s: {rate}; {moves} (half the width: {width * 500:.0f} ms)")


if __name__ == "__main__":
    main()
