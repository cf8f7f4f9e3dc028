"""Options that several commands share."""

import math
import re
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from workers.settings import Settings

DATA = "fer2013.csv (also .gz, .bz2, .xz, .zip), or a folder with a folder of pictures for each emotion."
SPLIT = "Training, PublicTest or PrivateTest; of a folder, a sub-folder."

LARGEST = 2**31 - 1
"""Of a whole number: what a column of the database holds."""

LONGEST_DAYS = 36_500
"""A century: longer ones reach back beyond the first year."""

UNITS_MS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


class Duration(click.ParamType[int]):
    """`500ms`, `1s`, `2m`, `30d`, at most `days`: as milliseconds."""

    name = "duration"

    def __init__(self, days: int = LONGEST_DAYS) -> None:
        self.days = days

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)", value)
        # Compared before it is rounded: hundreds of digits are no finite number.
        if not match or (duration := float(match[1]) * UNITS_MS[match[2]]) < 0.5:
            self.fail(f"{value!r} is not a duration; write 500ms, 1s, 2m or 30d.", parameter, context)
        if duration > self.days * UNITS_MS["d"]:
            self.fail(f"{value!r} is too long; write at most {self.days}d.", parameter, context)
        return max(1, round(duration))


class Output(click.Path):
    """Where a command writes; an empty path, as of a variable that is not set, would be the current folder."""

    def __init__(self, is_folder: bool = False) -> None:
        super().__init__(path_type=Path)
        self.is_folder = is_folder

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("the path is empty.", param, ctx)
        if value == "-" and self.is_folder:
            self.fail("stdout is no folder; write ./- for a folder of that name.", param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A number within limits; `nan`, which lies within all limits, is none."""

    name = "number"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "N"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        number = super().convert(value, parameter, context)
        if math.isnan(number):
            self.fail(f"{value!r} is not a number.", parameter, context)
        return number


class Whole(click.IntRange):
    """A whole number within limits."""

    name = "whole number"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "N"

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        number = super().convert(value, parameter, context)
        if number > LARGEST:
            self.fail(f"{value} is too large; write at most {LARGEST}.", parameter, context)
        return number


class DetectEvery(Whole):
    """A whole number within limits, or `auto`."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        return value if value == "auto" else super().convert(value, parameter, context)


SETTINGS = {
    "database_url": click.option(
        "--db",
        "database_url",
        metavar="URL",
        help="sqlite:///FILE or postgresql://USER@HOST/NAME.  [env: FER_DATABASE_URL]",
    ),
    "broker_url": click.option(
        "--broker", "broker_url", metavar="URL", help="The Redis server's URL.  [env: FER_BROKER_URL]"
    ),
    "device": click.option("--device", metavar="DEVICE", help="auto, cpu or cuda:0.  [env: FER_DEVICE; default: auto]"),
    "queues": click.option(
        "--queues", metavar="NAMES", help="Queues to serve, by commas.  [env: FER_QUEUES; default: batch]"
    ),
    "metrics_port": click.option(
        "--metrics-port",
        metavar="PORT",
        type=Whole(0, 65535),
        help="Serve figures for Prometheus there; 0 is nowhere.  [env: FER_METRICS_PORT; default: 0]",
    ),
    "log_json": click.option(
        "--log-json", is_flag=True, default=None, help="Log one JSON object a line.  [env: FER_LOG_JSON]"
    ),
    "quiet": click.option(
        "--quiet", "-q", is_flag=True, default=None, help="Show no progress, and log warnings and errors only."
    ),
}
"""The option of each setting that has one; each parameter is named as the field of `Settings`."""

THRESHOLD = click.option(
    "--detection-threshold",
    type=Number(0, 1, min_open=True, max_open=True),
    help="Lowest detection score that counts as a face.  [env: FER_DETECTION_THRESHOLD; default: 0.4]",
)
CROPS = click.option(
    "--keep-crops",
    metavar="DIR",
    type=click.Path(file_okay=False, resolve_path=True),
    help="Keep a picture of each face below this folder; none is kept otherwise.",
)
RESIZE = click.option("--resize", is_flag=True, help="Make pictures of other sizes than 48x48 fit.")


def settings_options(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Options for these settings. The command gets `settings`: the environment, which the options override."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(command)
        def call(*arguments: Any, **values: Any) -> Any:
            from workers.settings import Settings

            given = {name: value for name in names if (value := values.pop(name)) not in (None, "")}
            return command(*arguments, settings=Settings(**given), **values)

        decorated: Callable[..., Any] = call
        for name in reversed(names):
            decorated = SETTINGS[name](decorated)
        return decorated

    return add


def batch_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What to analyse and how; `batch_options_from` turns the values into `BatchOptions`."""
    for option in reversed(
        (
            click.argument("paths", nargs=-1, required=True, metavar="PATH..."),
            click.option("--fps", type=Number(0, 1000, min_open=True), help="Analyse N frames a second."),
            click.option(
                "--nearest",
                is_flag=True,
                help="With --fps, analyse the keyframes nearest to its times, or other frames that decode fast.",
            ),
            click.option("--every", type=Whole(min=1), help="Analyse every N-th frame.  [default: 1]"),
            click.option(
                "--detect-every",
                type=DetectEvery(1, 10),
                metavar="N|auto",
                default=1,
                help="In videos, detect faces in every N-th of these frames, or where it is needed, and interpolate.",
            ),
            click.option(
                "--shard-seconds",
                metavar="SECONDS",
                type=Number(1, 300),
                default=30.0,
                help="Length of the segments into which a video is cut, in seconds.",
            ),
            THRESHOLD,
            click.option(
                "--keep-member-scores",
                is_flag=True,
                help="Keep each classifier's probabilities, in the table face_scores.",
            ),
            CROPS,
            click.option("--name", help="A name for the job."),
        )
    ):
        command = option(command)
    return command


def batch_options_from(
    settings: "Settings",
    fps: float | None,
    nearest: bool,
    every: int | None,
    detect_every: int | Literal["auto"],
    shard_seconds: float,
    detection_threshold: float | None,
    keep_member_scores: bool,
    keep_crops: str | None,
) -> Any:
    """The chosen `BatchOptions`. Raises `click.UsageError` if options exclude each other."""
    from workers.batch.planning import BatchOptions

    if fps and every:
        raise click.UsageError("--fps and --every exclude each other.")
    if nearest and not fps:
        raise click.UsageError("--nearest needs --fps.")
    threshold = detection_threshold or settings.detection_threshold
    return BatchOptions(
        every or 1,
        fps,
        shard_seconds,
        threshold,
        keep_member_scores,
        detect_every=detect_every,
        keep_crops=keep_crops,
        nearest=nearest,
    )


def data_options(*, split: str | None) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """`--data`, `--split` (which has to be given where there is no default) and `--resize`: labelled faces."""

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(
            (
                click.option("--data", type=click.Path(path_type=Path), required=True, help=DATA),
                click.option("--split", **({"default": split} if split else {"required": True}), help=SPLIT),
                RESIZE,
            )
        ):
            command = option(command)
        return command

    return add


def filter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Which faces count, and how they are smoothed; `filter_from` turns the values into a `FaceFilter`."""
    for option in reversed(
        (
            click.option(
                "--smooth",
                type=Number(0, 60),
                metavar="SECONDS",
                help="Give each face the mean of its track over SECONDS around it.",
            ),
            click.option(
                "--min-confidence", type=Number(0, 1), default=0.0, help="Leave out faces of lower confidence."
            ),
            click.option("--min-quality", type=Number(0, 1), default=0.0, help="Leave out faces of lower quality."),
        )
    ):
        command = option(command)
    return command


def filter_from(smooth: float | None, min_confidence: float, min_quality: float, *, default: float = 0.0) -> Any:
    """The chosen `FaceFilter`; smoothed over `default` seconds if no option is given."""
    from results.read.face_filter import FaceFilter

    return FaceFilter(min_confidence, min_quality, default if smooth is None else smooth)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """`--json`, for programs that read the answer."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")(command)
