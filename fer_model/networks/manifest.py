"""The manifest of the weights: one detector and the members of the ensemble."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from fer_model.digests import digest
from fer_model.errors import WeightsError

ID_DIGITS = 12

SHIPPED = Path(__file__).parent.parent / "weights"


@dataclass(frozen=True)
class WeightsFile:
    """A safetensors file and the sha256 it must have.

    `facts` are its published measurements, by name: `validation_accuracy` of a classifier, `ap50_from_10_px` ... of a
    detector, 0..1. `graph` is the same network as an OpenVINO graph, for CPUs, the detector's in INT8: see
    `engines.graphs`.
    """

    name: str
    path: Path
    sha256: str
    facts: Mapping[str, float] = field(default_factory=dict, compare=False)
    graph: "WeightsFile | None" = None

    @property
    def id(self) -> str:
        """The model's id in results and in the database: the first digits of its sha256."""
        return self.sha256[:ID_DIGITS]

    def verify(self) -> None:
        """Raises `WeightsError` unless the file, and its graph, exist and have the expected sha256."""
        try:
            found = digest(self.path, "sha256")
        except OSError as error:
            raise WeightsError(f"{self.path}: the weights cannot be read ({error.strerror})") from error
        if found != self.sha256:
            raise WeightsError(f"{self.path}: sha256 is {found}, promised was {self.sha256}")
        if self.graph:
            self.graph.verify()


def given_file(path: Path) -> WeightsFile:
    """A file given by its path, with its present sha256. Raises `WeightsError`."""
    try:
        return WeightsFile(path.stem, path, digest(path, "sha256"))
    except OSError as error:
        raise WeightsError(f"{path}: the weights cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class ModelSet:
    """A detector and an ensemble.

    `shares` weigh the members' softmax outputs and sum to 1; `margin` widens the face square
    (0.1 = ten per cent); `temperature` (> 0) calibrates the mixture, see `ensemble.combine`.
    """

    detector: WeightsFile
    members: tuple[WeightsFile, ...]
    shares: tuple[float, ...]
    margin: float
    temperature: float = 1.0

    @property
    def files(self) -> tuple[WeightsFile, ...]:
        """Every file that is needed."""
        return (self.detector, *self.members)

    def verify(self) -> None:
        """Verifies every file. Raises `WeightsError`."""
        for file in self.files:
            file.verify()

    @cached_property
    def key(self) -> str:
        """A key for this combination of files, shares, margin and temperature."""
        numbers = (float(number) for number in (*self.shares, self.margin, self.temperature))
        parts = [file.sha256 for file in self.files] + [repr(number) for number in numbers]
        return hashlib.sha256(" ".join(parts).encode()).hexdigest()

    def as_json(self) -> str:
        """Everything, for another process on this machine; `from_json` reads it."""
        return json.dumps(asdict(self), default=lambda path: str(path.absolute()))

    @classmethod
    def from_json(cls, text: str) -> "ModelSet":
        """What `as_json` wrote."""
        values = json.loads(text)
        detector, *members = (_weights(file) for file in (values["detector"], *values["members"]))
        return cls(**values | {"detector": detector, "members": tuple(members), "shares": tuple(values["shares"])})


def read_models(folder: Path = SHIPPED) -> ModelSet:
    """The models that `manifest.json` in a folder describes. Raises `WeightsError`."""
    path = folder / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        members = manifest["ensemble"]["members"]
        if not math.isclose(sum(float(member["share"]) for member in members), 1, abs_tol=1e-6):
            raise ValueError("the members' shares do not sum to 1")
        return ModelSet(
            detector=_file(folder, manifest["detector"]),
            members=tuple(_file(folder, member) for member in members),
            shares=tuple(float(member["share"]) for member in members),
            margin=float(manifest["ensemble"]["margin"]),
            temperature=_temperature(manifest["ensemble"].get("temperature", 1.0)),
        )
    except OSError as error:
        raise WeightsError(f"{path}: the manifest of the models cannot be read ({error.strerror})") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: is not a manifest of models ({error})") from error


def _temperature(value: float) -> float:
    if not 0 < (temperature := float(value)) < math.inf:
        raise ValueError(f"the temperature is {value}, not a number above 0")
    return temperature


def _weights(values: dict[str, Any]) -> WeightsFile:
    """What `asdict` made of one."""
    graph = values["graph"] and _weights(values["graph"])
    return WeightsFile(**values | {"path": Path(values["path"]), "graph": graph})


def _file(folder: Path, entry: dict[str, Any]) -> WeightsFile:
    graph = _file(folder, entry["graph"]) if "graph" in entry else None
    facts = {name: float(value) for name, value in entry.get("facts", {}).items()}
    return WeightsFile(str(entry["name"]), folder / entry["file"], str(entry["sha256"]), facts, graph)
