"""The page Models: what is in use, what was measured, and what is in training."""

from collections.abc import Sequence

import streamlit as st

from results.database import reading
from results.jobs import UNFINISHED
from results.read.evaluations import all_evaluations
from results.training import list_runs, training_status
from web.parts import model_tables
from web.parts.failures import one_sentence
from web.parts.model_charts import confusion, curves
from web.parts.names import plain, told_apart
from web.server import this_server
from workers.models.inventory import details, overview
from workers.models.store import SHIPPED_NAME, promote, shipped, shipped_name

EVERY_S, RUNS = 3.0, 50
FOLLOWS = "shipped: those of this release, then of later ones"
TWO_DIGITS = {name: st.column_config.NumberColumn(format="%.2f") for name in ("Accuracy %", "From", "To", "Efficiency")}
FOUR_DIGITS = {name: st.column_config.NumberColumn(format="%.4f") for name in ("Macro F1", "ECE", "GMACs")}
FORMATS = TWO_DIGITS | FOUR_DIGITS


def page() -> None:
    """Draws the page."""
    st.title("Models")
    found = overview(this_server().database, this_server().settings.models_dir)
    if done := st.session_state.pop("promoted", None):
        st.success(f"{plain(done)} is in use.")
    st.subheader("Ensembles")
    _table(model_tables.ensembles(found["ensembles"]), "Ensembles")
    _promotion(found["ensembles"])
    st.subheader("Classifiers")
    _table(model_tables.classifiers(found["models"]), "Classifiers")
    _evaluations()
    _training()
    _card({f"{row['name']} ({row['id']})": row["id"] for row in found["models"]})


def _table(rows: list[model_tables.Row], name: str) -> None:
    st.dataframe(rows, hide_index=True, column_config=FORMATS, placeholder="", alt=name)


def _promotion(ensembles: Sequence[model_tables.Row]) -> None:
    folder = this_server().settings.models_dir
    ours = shipped_name(shipped(folder))
    # Not by its own name: the shipped one is to follow later releases again, also where it was pinned.
    others = [
        SHIPPED_NAME if row["name"] == ours else row["name"]
        for row in ensembles
        if (row["pinned"] and row["name"] == ours) or not row["in_use"]
    ]
    if not others:
        st.caption("`fer-batch ensemble fit` makes another ensemble, which can be put in use here.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        chosen = st.selectbox("Put in use", others, format_func=lambda name: FOLLOWS if name == SHIPPED_NAME else name)
        if st.button("Promote"):
            with one_sentence():
                st.session_state["promoted"] = promote(this_server().database, folder, chosen).name
                st.rerun()


def _evaluations() -> None:
    st.subheader("Evaluations")
    with reading(this_server().database) as session:
        found = all_evaluations(session)
    if not found:
        st.caption(
            "`fer-batch evaluate` measures a model or an ensemble; its figures and confusion matrix stand here then."
        )
        return
    _table(model_tables.ablation(found), "Evaluations")
    rows = {row.id: row for row, _, _ in found}
    names = told_apart(
        {row.id: f"{name}, {row.split} of {row.data}, {row.created_at:%d %b %Y}" for row, name, _ in found},
        lambda key: f"{rows[key].created_at:%H:%M:%S}",
        str,
    )
    chosen = st.selectbox("Confusion matrix", list(rows), format_func=names.__getitem__)
    if matrix := rows[chosen].report.get("confusion"):
        confusion(matrix)


def _training() -> None:
    st.subheader("Training")
    with reading(this_server().database) as session:
        runs = {
            run.run: f"{run.name or run.recipe or run.kind} · {run.run} · {run.state}"
            for run in list_runs(session, limit=RUNS)
        }
    if not runs:
        st.caption("`fer-batch train` queues a training run; its curves stand here while it runs.")
        return
    _run(st.selectbox("Run", list(runs), format_func=lambda key: runs[key]))


@st.fragment(run_every=EVERY_S)
def _run(chosen: str) -> None:
    with reading(this_server().database) as session:
        run = training_status(session, chosen)
    left = f" · {run.eta_seconds:,.0f} s left at most" if run.eta_seconds and run.state in UNFINISHED else ""
    best = f" · best {run.best_accuracy:.2%} in epoch {run.best_epoch}" if run.best_accuracy is not None else ""
    st.caption(f"{run.state} · epoch {run.epoch} of {run.epochs}{best}{left}")
    if run.error:
        st.error(plain(run.error))
    if run.history:
        curves(run.history, run.best_epoch)


def _card(ids: dict[str, str]) -> None:
    st.subheader("Model cards")
    chosen = st.selectbox("Model", list(ids))
    with one_sentence():
        card = details(this_server().database, this_server().settings.models_dir, ids[chosen])["card"]
        with st.container(border=True):
            st.markdown(
                card or "This model has no card: what it was trained on and what it is good for is not recorded."
            )
