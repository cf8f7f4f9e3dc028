"""The shipped INT8 network: an OpenVINO graph in one safetensors file.

`python -m tools.quantise_detector`, which needs NNCF, makes it.
"""

from pathlib import Path

import numpy as np

from fer_model.atomic import write_atomically
from fer_model.errors import WeightsError
from fer_model.networks.manifest import WeightsFile

GRAPH, NUMBERS = "graph", "numbers"
"""Tensors of bytes: OpenVINO's .xml and its .bin."""


def pack(graph: Path, path: Path, float_sha256: str) -> None:
    """Packs a graph (.xml, with .bin beside it) into one file whose metadata name the source weights."""
    from safetensors.numpy import save

    parts = {GRAPH: graph, NUMBERS: graph.with_suffix(".bin")}
    tensors = {name: np.frombuffer(part.read_bytes(), np.uint8) for name, part in parts.items()}
    write_atomically(path, save(tensors, metadata={"quantised_from": float_sha256}))


def unpack(file: WeightsFile, graph: Path) -> None:
    """Writes the graph (.xml, with .bin beside it). Raises `WeightsError`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(file.path)
        for name, part in ((GRAPH, graph), (NUMBERS, graph.with_suffix(".bin"))):
            part.write_bytes(tensors[name].tobytes())
    except (OSError, KeyError, SafetensorError) as error:
        raise WeightsError(f"{file.path}: holds no quantised network ({error})") from error
