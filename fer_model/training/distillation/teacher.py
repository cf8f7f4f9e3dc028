"""The teachers: plain 3x3 convolutions at the full 48x48 pixels, 0.55 G multiply-adds, never shipped."""

from torch import Tensor, nn
from torch.nn import functional


class Teacher(nn.Module):
    """VGG's layout (Khaireddin and Chen, arXiv 2105.03588), with identity shortcuts where `residual`.

    (n, 1, 48, 48) normalised grey in; logits (n, 7) and, for the FER+ votes, (n, 10) out.
    """

    def __init__(self, residual: bool, width: int = 64, drop: float = 0.4) -> None:
        super().__init__()
        self.residual = residual
        self.stages = nn.ModuleList()
        channels = 1
        for number, depth in enumerate((2, 2, 3, 2)):
            layers = nn.ModuleList()
            for _ in range(depth):
                out = width * 2**number
                layers.append(nn.Sequential(nn.Conv2d(channels, out, 3, 1, 1, bias=False), nn.BatchNorm2d(out)))
                channels = out
            self.stages.append(layers)
        self.drop, self.head, self.tags = nn.Dropout(drop), nn.Linear(channels, 7), nn.Linear(channels, 10)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the emotions and of the votes."""
        maps = images
        for number, stage in enumerate(self.stages):
            maps = functional.max_pool2d(maps, 2) if number else maps
            assert isinstance(stage, nn.ModuleList)
            for place, layer in enumerate(stage):
                made = layer(maps)
                maps = functional.relu(made + maps if self.residual and place else made)
        features = self.drop(maps.mean((2, 3)))
        return self.head(features), self.tags(features)
