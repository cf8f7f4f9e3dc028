"""Networks as OpenVINO graphs, each packed in one safetensors file.

The shipped ones lie beside their weights: the classifiers' (`python -m tools.make_graphs`) in half precision, the
detector's (`python -m tools.quantise_detector`) in eight bits. Graphs of other weights are made on first use.
"""

import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import openvino

from fer_model.atomic import write_atomically
from fer_model.errors import FerModelError, WeightsError
from fer_model.extras import require
from fer_model.networks.manifest import WeightsFile
from fer_model.networks.published import Kind

logger = logging.getLogger(__name__)

GRAPH, NUMBERS = "graph", "numbers"
"""Tensors of bytes: OpenVINO's .xml and its .bin."""

GRAPH_VERSION = 2
"""Increment it when `convert` makes other graphs of the same weights: old cache entries are then ignored."""


def pack(graph: Path, path: Path, metadata: dict[str, str]) -> None:
    """Packs a graph (.xml, with .bin beside it) into one file."""
    from safetensors.numpy import save

    parts = {GRAPH: graph, NUMBERS: graph.with_suffix(".bin")}
    tensors = {name: np.frombuffer(part.read_bytes(), np.uint8) for name, part in parts.items()}
    write_atomically(path, save(tensors, metadata=metadata))


def read_graph(core: openvino.Core, path: Path) -> openvino.Model:
    """The graph in a file that `pack` wrote. Raises `WeightsError`."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        tensors = load_file(path)
        return core.read_model(tensors[GRAPH].tobytes(), openvino.Tensor(tensors[NUMBERS]))
    except (OSError, KeyError, RuntimeError, SafetensorError) as error:
        raise WeightsError(f"{path}: holds no graph of a network ({error})") from error


def graph_of(file: WeightsFile, kind: Kind, cache: Path) -> Path:
    """The packed graph of these weights: the shipped one, or one in `cache`, made on first use.

    Conversion runs in a process of its own: it imports torch and Ultralytics, which would stay in a worker's memory.

    Raises:
        FerModelError: the conversion failed, or torch is not installed.
    """
    if file.graph:
        return file.graph.path
    path = cache / f"{file.sha256[:32]}-{openvino.__version__.split('-')[0]}-{GRAPH_VERSION}.safetensors"
    if not path.exists():
        _convert(file, kind, path)
    return path


def _convert(file: WeightsFile, kind: Kind, path: Path) -> None:
    require("torch", f"{file.name} is not shipped, and preparing it for OpenVINO")
    logger.info("preparing %s for this processor, once; it is kept in %s", file.name, path.parent)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        partial = Path(folder) / path.name
        command = [sys.executable, "-P", "-m", "fer_model.engines.convert", kind, str(file.path), str(partial)]
        run = subprocess.run(command, capture_output=True, text=True)
        if run.returncode:
            last = (run.stderr.strip().splitlines() or ["no output"])[-1]
            raise FerModelError(f"{file.name} could not be converted for OpenVINO: {last}")
        # Where another worker was first, its file has the same content.
        os.replace(partial, path)
