"""Complexity of a classifier: multiply-adds as fvcore counts them, and parameters."""

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fer_model.preprocess import FACE_SIZE

if TYPE_CHECKING:
    from torch import nn

EFFICIENCY = "efficiency = accuracy in per cent / (100 x multiply-adds in 10^9 for one face)"


@dataclass(frozen=True, slots=True)
class Complexity:
    """The cost of one face: `gmacs` in 10^9 multiply-adds, and the number of `parameters`."""

    gmacs: float
    parameters: int


def complexity(network: "nn.Module") -> Complexity:
    """The cost of a classifier of (1, 1, 48, 48) pictures, which is left ready for inference.

    fvcore counts, as for the published table: convolutions, normalisation as in inference,
    pooling and the last layer, a multiplication with its addition as one.
    """
    import torch

    with warnings.catch_warnings():
        # On import, fvcore compiles an unused function with an interface that torch deprecates.
        warnings.simplefilter("ignore", FutureWarning)
        from fvcore.nn import FlopCountAnalysis

        device = next(network.parameters()).device
        counting = FlopCountAnalysis(network.eval(), torch.zeros(1, 1, FACE_SIZE, FACE_SIZE, device=device))
        # fvcore would log each operation that it does not count (activations, additions).
        counting.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        macs = counting.total()
    return Complexity(macs / 1e9, sum(parameter.numel() for parameter in network.parameters()))


def efficiency(accuracy: float, gmacs: float) -> float:
    """The published table's figure for an accuracy in per cent: 68.74 at 0.046421376 gives 14.81."""
    return accuracy / (100 * gmacs)
