"""Quantises the shipped detector to eight bits, for processors: `fer_model/weights/NAME-int8.safetensors`.

    python -m tools.quantise_detector wider_train.tar human_faces.tar

Needs NNCF (`pip install nncf`); users of the file do not. Activation ranges come from 300 of the detector's training
photographs. Afterwards enter the file's sha256 into `manifest.json`, and its figures (`python -m fer_model.training
precision --quantised`) into the model card.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from fer_model.digests import digest
from fer_model.engines.convert import converted
from fer_model.engines.detection import letterbox
from fer_model.engines.graphs import pack
from fer_model.networks.manifest import read_models
from fer_model.sources.images import read_picture
from fer_model.training.datasets.faces import unpack

PICTURES = 300
SEED = 1
IN_FLOAT = ".*model.22.cv[23].[012].2/.*"
"""The head's last convolutions, which give scores and distances. They are 1 % of the arithmetic."""


def main(archives: list[Path]) -> None:
    import nncf
    import openvino

    detector = read_models().detector
    with tempfile.TemporaryDirectory() as folder:
        names = unpack(archives, Path(folder))
        paths = sorted(path for name in names for path in (Path(folder) / "images" / name).iterdir())
        chosen = np.random.default_rng(SEED).choice(len(paths), min(PICTURES, len(paths)), replace=False)
        pictures = [letterbox(read_picture(str(paths[number])))[0][None] for number in chosen]
        quantised = nncf.quantize(
            converted("detector", detector.path),
            nncf.Dataset(pictures),
            # Asymmetric activations: SiLU's values are nearly all positive.
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(pictures),
            ignored_scope=nncf.IgnoredScope(patterns=[IN_FLOAT]),
        )
        small = Path(folder) / "quantised.xml"
        openvino.save_model(quantised, small)
        output = detector.path.with_name(f"{detector.name}-int8.safetensors")
        pack(small, output, {"quantised_from": detector.sha256})
    print(output, f"{output.stat().st_size / 1e6:.1f} MB", digest(output, "sha256"))


if __name__ == "__main__":
    main([Path(name) for name in sys.argv[1:]])
