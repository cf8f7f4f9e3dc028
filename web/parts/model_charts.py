"""Charts of models: confusion matrices and training curves. Each has a table of the same figures."""

from collections.abc import Sequence
from typing import Any

import altair
import polars
import streamlit as st

from results.emotions import EMOTIONS
from web.parts.theme import ACCENT

CURVES = {"validation_accuracy": "validation", "train_accuracy": "training"}


def confusion(matrix: Sequence[Sequence[int]]) -> None:
    """Draws a matrix of faces: one row for each label, one column for each answer; shares of the row."""
    cells = [
        {"label": label, "answer": answer, "faces": count, "share": count / max(1, sum(row))}
        for label, row in zip(EMOTIONS, matrix, strict=True)
        for answer, count in zip(EMOTIONS, row, strict=True)
    ]
    axes = altair.Chart(polars.DataFrame(cells)).encode(
        x=altair.X("answer:N", sort=list(EMOTIONS), title="answer", axis=altair.Axis(orient="top", labelAngle=0)),
        y=altair.Y("label:N", sort=list(EMOTIONS), title="label"),
        tooltip=["label:N", "answer:N", "faces:Q", altair.Tooltip("share:Q", format=".1%")],
    )
    shade = altair.Color("share:Q", scale=altair.Scale(domain=[0, 1], range=["#ffffff00", ACCENT]), legend=None)
    colour = altair.condition("datum.share > 0.55", altair.value("white"), altair.value("gray"))
    text = axes.mark_text(fontSize=12).encode(text=altair.Text("share:Q", format=".0%"), color=colour)
    chart = (axes.mark_rect(cornerRadius=3).encode(color=shade) + text).properties(height=340)
    st.altair_chart(chart, alt="Confusion matrix: shares of each label's faces by answer")
    with st.expander("Table"):
        rows = {"label": list(EMOTIONS)} | {name: [row[n] for row in matrix] for n, name in enumerate(EMOTIONS)}
        st.dataframe(rows, hide_index=True, alt="Faces by label and answer")


def curves(history: Sequence[dict[str, Any]], best: int | None) -> None:
    """Draws a run's accuracy by epoch, and its loss; `best` is the epoch whose weights are kept."""
    points = [
        {"epoch": row["epoch"], "curve": word, "accuracy": row[name]}
        for row in history
        for name, word in CURVES.items()
        if row[name] is not None
    ]
    epoch = altair.X("epoch:Q", axis=altair.Axis(tickMinStep=1), scale=altair.Scale(nice=False))
    shades = altair.Scale(domain=list(CURVES.values()), range=[ACCENT, "#9a9a9a"])
    legend = altair.Legend(title=None, orient="top")
    accuracy = (
        altair.Chart(polars.DataFrame(points))
        .mark_line(point=True)
        .encode(
            x=epoch,
            y=altair.Y("accuracy:Q", axis=altair.Axis(format="%"), scale=altair.Scale(zero=False)),
            color=altair.Color("curve:N", scale=shades, legend=legend),
            tooltip=["epoch:Q", "curve:N", altair.Tooltip("accuracy:Q", format=".2%")],
        )
    )
    kept = altair.Chart(polars.DataFrame({"epoch": [best] if best else []}, {"epoch": polars.Int64})).mark_rule(
        strokeDash=[4, 4]
    )
    loss = altair.Chart(polars.DataFrame([{"epoch": row["epoch"], "loss": row["loss"]} for row in history]))
    left, right = st.columns([2, 1])
    with left:
        chart = (accuracy + kept.encode(x="epoch:Q")).properties(height=260)
        st.altair_chart(chart, alt="Accuracy by epoch; the dashed line is the best")
    with right:
        line = loss.mark_line(color="#9a9a9a", point={"color": "#9a9a9a"}).encode(
            x=epoch, y="loss:Q", tooltip=["epoch:Q", "loss:Q"]
        )
        st.altair_chart(line.properties(height=260), alt="Loss by epoch")
    with st.expander("Table"):
        st.dataframe(list(history), hide_index=True, alt="Each epoch's figures")
