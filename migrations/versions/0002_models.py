"""Models: weights, ensembles, training runs, evaluations, and which models made which rows."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

JOB_MODELS = """
CREATE VIEW job_models AS
SELECT work.job_id, ensembles.name AS ensemble, parts.role, models.id AS model_id, models.name AS model,
       models.sha256, parts.share, work.shards
FROM (
    SELECT job_id, ensemble_id, COUNT(*) AS shards FROM shards
    WHERE ensemble_id IS NOT NULL GROUP BY job_id, ensemble_id
) AS work
JOIN ensembles ON ensembles.id = work.ensemble_id
JOIN (
    SELECT id AS ensemble_id, 'detector' AS role, detector_id AS model_id, NULL AS share FROM ensembles
    UNION ALL
    SELECT ensemble_id, 'classifier' AS role, model_id, share FROM ensemble_members
) AS parts ON parts.ensemble_id = ensembles.id
JOIN models ON models.id = parts.model_id
"""


def upgrade() -> None:
    _create_models()
    _create_training()
    _create_measurements()
    # Plain SQL for both databases: on SQLite it spares rebuilding a table that views read.
    reference = "CONSTRAINT fk_shards_ensemble_id_ensembles REFERENCES ensembles (id)"
    op.execute(f"ALTER TABLE shards ADD COLUMN ensemble_id INTEGER {reference}")
    op.create_index(op.f("ix_shards_ensemble_id"), "shards", ["ensemble_id"])
    op.execute(JOB_MODELS)


def downgrade() -> None:
    op.execute("DROP VIEW job_models")
    op.drop_index(op.f("ix_shards_ensemble_id"), "shards")
    # SQLite can only rebuild the table, and refuses while views read it, except in its legacy mode.
    if op.get_bind().dialect.name == "sqlite":
        op.execute("PRAGMA legacy_alter_table = ON")
    with op.batch_alter_table("shards") as shards:
        shards.drop_column("ensemble_id")
    for table in (
        "face_scores", "evaluations", "training_epochs", "training_runs", "ensemble_members", "ensembles", "models",
    ):  # fmt: skip
        op.drop_table(table)


def _create_models() -> None:
    op.create_table(
        "models",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("architecture", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("recipe", sa.Text()),
        sa.Column("job_id", sa.Text()),
        sa.Column("licence", sa.Text()),
        sa.Column("facts", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('detector', 'classifier')", name=op.f("ck_models_kind")),
        sa.CheckConstraint("source IN ('shipped', 'trained', 'pulled', 'given')", name=op.f("ck_models_source")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_models_job_id_jobs"), ondelete="SET NULL"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("sha256", name=op.f("uq_models_sha256")),
    )
    op.create_index(op.f("ix_models_job_id"), "models", ["job_id"])
    op.create_table(
        "ensembles",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("detector_id", sa.Text(), nullable=False),
        sa.Column("margin", sa.Double(), nullable=False),
        sa.Column("temperature", sa.Double(), nullable=False),
        sa.Column("fitted_on", sa.Text()),
        sa.Column("promoted_at", sa.DateTime(timezone=True)),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["detector_id"], ["models.id"], name=op.f("fk_ensembles_detector_id_models")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ensembles")),
        sa.UniqueConstraint("name", name=op.f("uq_ensembles_name")),
    )
    op.create_table(
        "ensemble_members",
        sa.Column("ensemble_id", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ensemble_id"],
            ["ensembles.id"],
            name=op.f("fk_ensemble_members_ensemble_id_ensembles"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_ensemble_members_model_id_models")),
        sa.PrimaryKeyConstraint("ensemble_id", "position", name=op.f("pk_ensemble_members")),
    )
    op.create_index(op.f("ix_ensemble_members_model_id"), "ensemble_members", ["model_id"])


def _create_training() -> None:
    op.create_table(
        "training_runs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("recipe", sa.Text()),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("epochs", sa.Integer(), nullable=False),
        sa.Column("best_epoch", sa.Integer()),
        sa.Column("best_accuracy", sa.Double()),
        sa.Column("model_id", sa.Text()),
        sa.CheckConstraint("kind IN ('detector', 'classifier')", name=op.f("ck_training_runs_kind")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_training_runs_job_id_jobs"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_training_runs_model_id_models")),
        sa.PrimaryKeyConstraint("job_id", name=op.f("pk_training_runs")),
    )
    op.create_table(
        "training_epochs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("epoch", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("loss", sa.Double(), nullable=False),
        sa.Column("train_accuracy", sa.Double()),
        sa.Column("validation_accuracy", sa.Double(), nullable=False),
        sa.Column("learning_rate", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("loading_seconds", sa.Double()),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["jobs.id"], name=op.f("fk_training_epochs_job_id_jobs"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("job_id", "epoch", name=op.f("pk_training_epochs")),
    )


def _create_measurements() -> None:
    op.create_table(
        "evaluations",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("model_id", sa.Text()),
        sa.Column("ensemble_id", sa.Integer()),
        sa.Column("job_id", sa.Text()),
        sa.Column("data", sa.Text(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("accuracy", sa.Double(), nullable=False),
        sa.Column("ci_low", sa.Double(), nullable=False),
        sa.Column("ci_high", sa.Double(), nullable=False),
        sa.Column("macro_f1", sa.Double(), nullable=False),
        sa.Column("ece", sa.Double(), nullable=False),
        sa.Column("gmacs", sa.Double(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("(model_id IS NULL) <> (ensemble_id IS NULL)", name=op.f("ck_evaluations_subject")),
        sa.ForeignKeyConstraint(["ensemble_id"], ["ensembles.id"], name=op.f("fk_evaluations_ensemble_id_ensembles")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_evaluations_job_id_jobs"), ondelete="SET NULL"),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_evaluations_model_id_models")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_evaluations")),
    )
    op.create_index(op.f("ix_evaluations_ensemble_id"), "evaluations", ["ensemble_id"])
    op.create_index(op.f("ix_evaluations_job_id"), "evaluations", ["job_id"])
    op.create_index(op.f("ix_evaluations_model_id"), "evaluations", ["model_id"])
    op.create_table(
        "face_scores",
        sa.Column("media_id", sa.Integer(), nullable=False),
        sa.Column("frame_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("face_index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("model_id", sa.Text(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in EMOTIONS),
        sa.ForeignKeyConstraint(
            ["media_id", "frame_index", "face_index"],
            ["faces.media_id", "faces.frame_index", "faces.face_index"],
            name="fk_face_scores_face",
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["model_id"], ["models.id"], name=op.f("fk_face_scores_model_id_models")),
        sa.PrimaryKeyConstraint("media_id", "frame_index", "face_index", "model_id", name=op.f("pk_face_scores")),
    )
