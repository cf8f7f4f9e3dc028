"""The quality of each medium's series as a view, and an index of tracks by time."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

# Grouped by job too, so that a query for one job does not aggregate the whole database.
MEDIA_QUALITY = """
CREATE VIEW media_quality AS
SELECT looked.job_id, looked.media_id, looked.uri, looked.frames, COALESCE(seen.faces, 0) AS faces,
       looked.face_share, seen.quality, seen.low_quality_share, seen.confidence, seen.unsure_share,
       seen.detection_score, seen.face_pixels
FROM (
    SELECT media.job_id, frames.media_id, media.uri, COUNT(*) AS frames,
           CAST(AVG(CASE WHEN frames.faces > 0 THEN 1 ELSE 0 END) AS DOUBLE PRECISION) AS face_share
    FROM frames JOIN media ON media.id = frames.media_id
    GROUP BY media.job_id, frames.media_id, media.uri
) AS looked
LEFT JOIN (
    SELECT media.job_id, faces.media_id, COUNT(*) AS faces, AVG(faces.quality) AS quality,
           CAST(AVG(CASE WHEN faces.quality < 0.5 THEN 1 ELSE 0 END) AS DOUBLE PRECISION) AS low_quality_share,
           AVG(faces.confidence) AS confidence,
           CAST(AVG(CASE WHEN faces.confidence < 0.5 THEN 1 ELSE 0 END) AS DOUBLE PRECISION) AS unsure_share,
           AVG(faces.detection_score) AS detection_score, AVG(faces.y2 - faces.y1) AS face_pixels
    FROM faces JOIN media ON media.id = faces.media_id
    GROUP BY media.job_id, faces.media_id
) AS seen
ON seen.job_id = looked.job_id AND seen.media_id = looked.media_id
"""


def upgrade() -> None:
    op.execute(MEDIA_QUALITY)
    # The time in the index spares sorting a track's faces for smoothing.
    op.create_index(op.f("ix_faces_media_id_track_id_time_ms"), "faces", ["media_id", "track_id", "time_ms"])
    op.drop_index(op.f("ix_faces_media_id_track_id"), "faces")


def downgrade() -> None:
    op.create_index(op.f("ix_faces_media_id_track_id"), "faces", ["media_id", "track_id"])
    op.drop_index(op.f("ix_faces_media_id_track_id_time_ms"), "faces")
    op.execute("DROP VIEW media_quality")
