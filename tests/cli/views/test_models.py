"""What people see of models: in a terminal of 80 columns, and in a pipe."""

import io
from typing import Any

import pytest
from rich.console import Console

from cli.views.models import print_details, print_overview

MODEL = {
    "id": "0123456789ab",
    "name": "emotion-b0-best-mixed",
    "kind": "classifier",
    "source": "trained",
    "recipe": "best_mixed",
    "accuracy": 66.06,
    "accuracy_on": "PrivateTest of /a/long/way/down/to/the/data/fer2013.csv",
}
LONG = "a-name-that-a-person-thought-about-for-a-very-long-time-and-then-made-even-longer-than-the-terminal"
ENSEMBLE = {
    "name": "fitted-01234567",
    "in_use": True,
    "detector": {"id": "ba9876543210", "name": "face-yolov8n"},
    "members": [{"id": "0123456789ab", "name": "emotion-b0-best-mixed", "share": 1.0}],
    "pinned": False,
    "accuracy": None,
}
EVALUATION = {
    "data": "/data/fer2013.csv", "split": "PrivateTest", "n": 3589, "accuracy": 66.0624, "ci_low": 64.5,
    "ci_high": 67.61, "macro_f1": 0.6512, "ece": 0.0213, "gmacs": 0.023210688, "job_id": None,
    "at": "2026-01-02T03:04:05",
}  # fmt: skip


def shown(found: dict[str, Any], monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> list[str]:
    file = io.StringIO()
    console = Console(file=file, width=80, force_terminal=terminal, color_system=None, highlight=False)
    monkeypatch.setattr("cli.views.models.terminal", lambda: console)
    print_overview(found)
    return [line.rstrip() for line in file.getvalue().splitlines()]


def test_80_columns_do_for_names_and_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = shown({"ensembles": [ENSEMBLE], "models": [MODEL]}, monkeypatch, terminal=True)
    assert max(map(len, lines)) <= 80 and not any("…" in line or "/" in line for line in lines)
    assert lines[1].split() == ["fitted-01234567", "yes", "face-yolov8n", "1.00", "emotion-b0-best-mixed"]
    assert lines[4].startswith("0123456789ab  emotion-b0-best-mixed  trained  best_mixed  66.1 % on")


def test_a_detector_shows_what_the_kept_weights_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = {"ap50_from_10_px": 0.91142, "ap50_from_32_px": 0.98}
    detector = MODEL | {"kind": "detector", "recipe": None, "accuracy": None, "facts": facts}
    lines = shown({"ensembles": [ENSEMBLE], "models": [detector]}, monkeypatch, terminal=False)
    assert lines[-1].endswith("AP50 91.1 % in training")


def test_a_shipped_classifier_shows_what_its_maker_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = MODEL | {"accuracy": None, "best_in_training": None, "facts": {"validation_accuracy": 0.6789}}
    lines = shown({"ensembles": [ENSEMBLE], "models": [shipped]}, monkeypatch, terminal=False)
    assert lines[-1].endswith("67.9 % in training")


@pytest.mark.parametrize("terminal", [True, False])
def test_no_name_is_ever_cut(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> None:
    lines = shown({"ensembles": [ENSEMBLE], "models": [MODEL | {"name": LONG}]}, monkeypatch, terminal=terminal)
    assert any(f"0123456789ab  {LONG}" in line for line in lines)


def test_a_pipe_gets_one_line_for_each(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = ENSEMBLE | {"members": [{"id": "f" * 12, "name": name, "share": 0.5} for name in ("one", "two")]}
    lines = shown({"ensembles": [pair], "models": [MODEL] * 2}, monkeypatch, terminal=False)
    assert lines[1].endswith("0.50 one, 0.50 two") and len(lines) == 6
    assert lines[-1].endswith("66.1 % on PrivateTest of fer2013.csv")


def test_details_are_sentences_in_per_cent(capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"validation_accuracy": 0.61234, "best_epoch": 7, "ap50_from_10_px": 0.5}
    print_details(
        MODEL | {"facts": facts, "best_in_training": 0.61234, "evaluations": [EVALUATION], "card": "# Card\n"}
    )
    output = capsys.readouterr().out
    assert "facts:\n  validation accuracy: 61.2 %\n  best epoch: 7\n  ap50 from 10 px: 50.0 %\n" in output
    assert "best in training: 61.2 %\n" in output and output.endswith("\n\n# Card\n")
    assert "  66.1 % (64.5 to 67.6) on PrivateTest of /data/fer2013.csv: 3,589 faces, macro F1 0.651," in output
    print_details(dict(ENSEMBLE))
    output = capsys.readouterr().out
    assert "in use: yes\ndetector: face-yolov8n (ba9876543210)\nmembers:\n  1.000 emotion-b0-best-mixed" in output
    assert "{" not in output
