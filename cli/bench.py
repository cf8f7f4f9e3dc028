"""The command `bench`: the speed of each stage, of the pipeline, and of a naive loop."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cli.options import json_option, settings_options
from cli.views.lines import say

if TYPE_CHECKING:
    from workers.diagnosis.benchmark import Figures
    from workers.settings import Settings

ROWS = (
    ("decode_fps", "decoding alone", "frames/s"),
    ("detector_fps", "detector alone, fed from memory", "frames/s"),
    ("classifier_faces_per_s", "classifiers alone", "faces/s"),
    ("write_rows_per_s", "writing rows", "rows/s"),
    ("pipeline_fps", "everything, file to committed rows", "frames/s"),
    ("auto_fps", "every frame answered, detecting as faces move", "frames/s"),
    ("naive_fps", "the loop people write", "frames/s"),
    ("speedup", "times as fast as that loop", ""),
    ("auto_speedup", "times as fast, detecting as faces move", ""),
    ("auto_faces_kept", "part of the faces kept, detecting as faces move", ""),
    ("efficiency", "part of the slower of decoder and detector", ""),
    ("peak_rss_mb", "peak memory of the pipeline", "MB"),
)


@click.command()
@click.argument("path", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@settings_options("device")
@json_option
def bench(settings: "Settings", path: Path | None, as_json: bool) -> None:
    """Measure the speed of each stage and of the whole.

    On one video, beside a naive loop.

    PATH is a video; the default is a clip made from two photographs. Needs no broker and no database.
    """
    from cli.views.terminal import safe_text, terminal
    from workers.diagnosis.benchmark import measure

    with _clip(path) as clip, terminal(stderr=True).status("") as status:
        figures = measure(settings, clip, lambda name: status.update(safe_text(f"measuring: {name}")))
    if as_json:
        say(json.dumps(figures.as_dict()))
    else:
        _print(figures)


@contextmanager
def _clip(path: Path | None) -> Iterator[Path]:
    if path is not None:
        yield path
        return
    from fer_model.samples import write_samples

    with tempfile.TemporaryDirectory(prefix="fer-batch-bench-") as folder:
        write_samples(Path(folder))
        yield Path(folder) / "clip.mp4"


def _print(figures: "Figures") -> None:
    from rich.table import Table

    from cli.views.terminal import safe_text, terminal

    values = figures.as_dict()
    table = Table(box=None, pad_edge=False, show_header=False)
    for name, text, unit in ROWS:
        number = values[name]
        table.add_row(text, f"{number:,.0f}" if number >= 100 else f"{number:.2f}", unit)
    console = terminal()
    console.print(safe_text(figures.device, "bold"), figures.precision, sep=", ")
    console.print(table)
