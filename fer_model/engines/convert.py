"""`python -m fer_model.engines.convert KIND WEIGHTS OUTPUT`: a network as a packed OpenVINO graph (see `graphs`).

A detector takes (1, H, W, 3) RGB bytes and gives distances and scores; a classifier takes (N, 48, 48) grey bytes and
gives (N, 7) probabilities. Numbers are in half precision.
"""

import sys
import tempfile
from pathlib import Path

import openvino
import torch
from torch import Tensor, nn

from fer_model.digests import digest
from fer_model.engines.graphs import pack
from fer_model.networks.loading import load_classifier, load_detector, raw_detector
from fer_model.networks.published import Kind
from fer_model.preprocess import FACE_SIZE, normalise


class _ByteDetector(nn.Module):
    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        distances, scores = self.detector(pictures.permute(0, 3, 1, 2).float() / 255)
        return distances, scores


class _ByteClassifier(nn.Module):
    def __init__(self, classifier: nn.Module) -> None:
        super().__init__()
        self.classifier = classifier

    def forward(self, faces: Tensor) -> Tensor:
        probabilities: Tensor = self.classifier(normalise(faces[:, None].float())).softmax(1)
        return probabilities


def convert(kind: Kind, weights: Path, path: Path) -> None:
    """Writes the packed graph of a network. Raises `WeightsError`."""
    with tempfile.TemporaryDirectory() as folder:
        graph = Path(folder) / "graph.xml"
        openvino.save_model(converted(kind, weights), graph, compress_to_fp16=True)
        pack(graph, path, {"converted_from": digest(weights, "sha256")})


def converted(kind: Kind, weights: Path) -> openvino.Model:
    """The graph of a network, for any number of pictures or faces. Raises `WeightsError`."""
    network: nn.Module
    if kind == "detector":
        network, shape = _ByteDetector(raw_detector(load_detector(weights))), [-1, -1, -1, 3]
        example = torch.zeros(1, 384, 640, 3, dtype=torch.uint8)
    else:
        network, shape = _ByteClassifier(load_classifier(weights)), [-1, FACE_SIZE, FACE_SIZE]
        example = torch.zeros(2, FACE_SIZE, FACE_SIZE, dtype=torch.uint8)
    with torch.inference_mode():
        return openvino.convert_model(network.eval(), example_input=example, input=[(shape, openvino.Type.u8)])


if __name__ == "__main__":
    convert(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))  # type: ignore[arg-type]
