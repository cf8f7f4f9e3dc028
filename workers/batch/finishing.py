"""Ends a job: stitches the tracks of its videos and closes it, in one transaction."""

from sqlalchemy import Engine as Database

from results.closing import close_job, ready_to_close, relabel_tracks
from results.database import writing
from results.seams import tracks_by_segment, videos_in_segments
from workers.batch.stitching import join_tracks


def finish(database: Database, job_id: str) -> None:
    """Joins the tracks of each video, fills `tracks` and closes the job; does nothing if shards are left. Idempotent.

    Raises:
        ResultsError: the database cannot be used; nothing was changed.
    """
    with writing(database) as session:
        if not ready_to_close(session, job_id):
            return
        for media_id in videos_in_segments(session, job_id):
            segments = tracks_by_segment(session, media_id)
            for segment, labels in zip(segments, join_tracks(segments), strict=True):
                changed = {old: new for old, new in labels.items() if old != new}
                relabel_tracks(session, segment.shard_id, changed)
        close_job(session, job_id)
