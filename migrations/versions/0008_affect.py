"""Valence and arousal: a view by face, and two last columns of the timelines; views alone, no stored column."""

from importlib import import_module

from alembic import op
from sqlalchemy import Double, literal_column

from results.emotions import EMOTIONS, affect

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

# The coordinates stand in one place. Who changes them there writes a migration that runs `upgrade` of this one again.
AFFECT = "".join(
    f", {label.element} AS {label.name}" for label in affect([literal_column(n, Double) for n in EMOTIONS])
)

FACE_AFFECT = f"""
SELECT media.job_id, faces.media_id, faces.frame_index, faces.face_index, faces.time_ms, faces.track_id{AFFECT}
FROM faces JOIN media ON media.id = faces.media_id
"""


def upgrade() -> None:
    op.execute(f"CREATE VIEW face_affect AS {FACE_AFFECT}")
    _timelines(AFFECT)


def downgrade() -> None:
    op.execute("DROP VIEW face_affect")
    if op.get_bind().dialect.name == "postgresql":
        # It can add columns to a view, but not take them away.
        for name in ("emotion_timeline", "track_timeline"):
            op.execute(f"DROP VIEW {name}")
    _timelines("")


def _timelines(columns: str) -> None:
    """The views of revision 0006 with these columns at their end."""
    streams = import_module("migrations.versions.0006_streams")
    moment = streams.MOMENTS[op.get_bind().dialect.name]
    streams.replace_views(*(f", {moment.format(rows)} AS at{columns}" for rows in ("looked", "felt")))
