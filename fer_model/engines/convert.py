"""`python -m fer_model.engines.convert MODELS OUTPUT`: networks as OpenVINO graphs; MODELS is `ModelSet.as_json()`.

The detector takes (1, H, W, 3) RGB bytes and gives distances and scores; the ensemble takes
(N, 48, 48) grey bytes and gives (members, N, 7) probabilities.
"""

import sys
from pathlib import Path

import openvino
import torch
from torch import Tensor, nn

from fer_model.engines.quantised import unpack
from fer_model.networks.loading import load_classifier, load_detector, raw_detector
from fer_model.networks.manifest import ModelSet
from fer_model.preprocess import normalise


class _ByteDetector(nn.Module):
    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        distances, scores = self.detector(pictures.permute(0, 3, 1, 2).float() / 255)
        return distances, scores


class _Ensemble(nn.Module):
    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def forward(self, faces: Tensor) -> Tensor:
        batch = normalise(faces[:, None].float())
        return torch.stack([member(batch).softmax(1) for member in self.members])


def convert(models: ModelSet, output: Path) -> None:
    """Writes detector.xml and ensemble.xml (with .bin) into a folder. Raises `WeightsError`."""
    members = [load_classifier(member.path) for member in models.members]
    faces = torch.zeros(2, 48, 48, dtype=torch.uint8)
    if models.detector.quantised:
        unpack(models.detector.quantised, output / "detector.xml")
    else:
        convert_detector(models.detector.path, output / "detector.xml")
    _save(_Ensemble(members).eval(), faces, [-1, 48, 48], output / "ensemble.xml")


def convert_detector(weights: Path, path: Path) -> None:
    """Writes a detector as a graph (.xml, with .bin beside it). Raises `WeightsError`."""
    pictures = torch.zeros(1, 384, 640, 3, dtype=torch.uint8)
    _save(_ByteDetector(raw_detector(load_detector(weights))).eval(), pictures, [-1, -1, -1, 3], path)


def _save(network: nn.Module, example: Tensor, shape: list[int], path: Path) -> None:
    with torch.inference_mode():
        graph = openvino.convert_model(network, example_input=example, input=[(shape, openvino.Type.u8)])
    openvino.save_model(graph, path, compress_to_fp16=True)


if __name__ == "__main__":
    convert(ModelSet.from_json(sys.argv[1]), Path(sys.argv[2]))
