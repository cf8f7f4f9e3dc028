"""On SQLite the views `emotion_timeline` and `media_quality` read one job's rows where one job is asked for.

SQLite passes a condition on to the left side of an outer join alone: it read the faces of the whole database. Here both
sides are one grouping. PostgreSQL passes the condition on to both, and would take half as long again for one grouping.
"""

from importlib import import_module

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Each frame has a row for each of its faces, or one without a face.
SEEN = """
    FROM frames JOIN media ON media.id = frames.media_id
    LEFT JOIN faces ON faces.media_id = frames.media_id AND faces.frame_index = frames.frame_index
"""
COUNTS = """
    COUNT(DISTINCT frames.frame_index) AS frames, COUNT(faces.face_index) AS faces,
    CAST(COUNT(DISTINCT faces.frame_index) AS DOUBLE PRECISION) / COUNT(DISTINCT frames.frame_index) AS face_share
"""

MEDIA_QUALITY = f"""
SELECT job_id, media_id, uri, frames, faces, face_share, quality, low_quality_share, confidence, unsure_share,
       detection_score, face_pixels
FROM (
    SELECT media.job_id, frames.media_id, media.uri, {COUNTS}, AVG(faces.quality) AS quality,
           AVG(CASE WHEN faces.quality < 0.5 THEN 1.0 WHEN faces.face_index >= 0 THEN 0.0 END) AS low_quality_share,
           AVG(faces.confidence) AS confidence, AVG(faces.confidence < 0.5) AS unsure_share,
           AVG(faces.detection_score) AS detection_score, AVG(faces.y2 - faces.y1) AS face_pixels
    {SEEN}
    GROUP BY media.job_id, frames.media_id, media.uri
)
"""


def upgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    _replace("emotion_timeline", _emotion_timeline())
    _replace("media_quality", MEDIA_QUALITY)


def downgrade() -> None:
    if op.get_bind().dialect.name != "sqlite":
        return
    affect = import_module("migrations.versions.0008_affect")
    affect._timelines(affect.AFFECT)
    op.execute("DROP VIEW media_quality")
    op.execute(import_module("migrations.versions.0004_answers").MEDIA_QUALITY)


def _replace(name: str, query: str) -> None:
    op.execute(f"DROP VIEW {name}")
    op.execute(f"CREATE VIEW {name} AS {query}")


def _emotion_timeline() -> str:
    streams = import_module("migrations.versions.0006_streams")
    affect = import_module("migrations.versions.0008_affect").AFFECT
    at = streams.MOMENTS["sqlite"].format("looked")
    return f"""
SELECT job_id, media_id, uri, second, frames, faces, {", ".join(streams.EMOTIONS)}, {streams._dominant()} AS emotion,
       face_share, {at} AS at{affect}
FROM (
    SELECT media.job_id, frames.media_id, media.uri, media.started_at, frames.time_ms / 1000 AS second,
           {COUNTS}, {streams._means()}
    {SEEN}
    GROUP BY media.job_id, frames.media_id, media.uri, media.started_at, frames.time_ms / 1000
) AS looked
"""
