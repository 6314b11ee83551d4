"""The detector: a small feature pyramid that gives each cell a score and four corners.

Convolutions, ReLU, additions and doubling by repetition alone, which quantise to INT8 and compile
for TensorRT as they are. Batch normalisation goes into the convolutions at export.
"""

from __future__ import annotations

from typing import Final, cast

import torch
from torch import Tensor, nn

from edge.lanes.plate_own import STRIDES, UNIT

WIDTHS: Final = (16, 24, 48, 80, 128)
"""Channels at strides 2, 4, 8, 16 and 32."""
NECK: Final = 64
DEPTHS: Final = (2, 3, 3)
"""Blocks at strides 8, 16 and 32."""
VALUES: Final = 9
"""Per cell: a score before the sigmoid, then x, y of four corners."""
_TYPICAL: Final = (-1.4, -0.5, 1.4, -0.5, 1.4, 0.5, -1.4, 0.5)
"""Corners of a middling plate in the decoder's units: where training starts."""
_RARE: Final = -4.0
"""Score that cells start with: hardly one in fifty holds a plate."""


def _conv(
    inner: int, outer: int, kernel: int = 3, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inner, outer, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outer),
        nn.ReLU(inplace=True),
    )


class Separable(nn.Module):
    """A depthwise and a pointwise convolution, with a way around both."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = _conv(channels, channels, kernel, groups=channels)
        self.pointwise = _conv(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return features of the same shape."""
        return x + cast("Tensor", self.pointwise(self.depthwise(x)))


class PlateNet(nn.Module):
    """Input (N, 3, H, W) RGB 0..1, sides multiples of 32; an output (N, 9, H/s, W/s) per stride."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            _conv(3, WIDTHS[0], stride=2), _conv(WIDTHS[0], WIDTHS[1], stride=2)
        )
        self.stages = nn.ModuleList()
        for level, depth in enumerate(DEPTHS):
            inner, outer = WIDTHS[level + 1 : level + 3]
            kernel = 3 if level == 0 else 5  # wide views where the maps are small
            blocks = [Separable(outer, kernel) for _ in range(depth)]
            self.stages.append(nn.Sequential(_conv(inner, outer, stride=2), *blocks))
        self.lateral = nn.ModuleList(_conv(width, NECK, 1) for width in WIDTHS[2:])
        self.merge = nn.ModuleList(Separable(NECK, 3) for _ in STRIDES)
        self.head = nn.ModuleList(Separable(NECK, 3) for _ in STRIDES)
        self.out = nn.ModuleList(nn.Conv2d(NECK, VALUES, 1) for _ in STRIDES)
        for layer in self.out:
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            nn.init.normal_(layer.weight, std=0.01)
            with torch.no_grad():
                layer.bias.copy_(torch.tensor([_RARE, *_TYPICAL]))

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        """Return the maps at strides 8, 16 and 32."""
        x = self.stem(picture)
        features: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        above: Tensor | None = None
        maps: list[Tensor] = []
        for level in reversed(range(len(STRIDES))):
            here = self.lateral[level](features[level])
            if above is not None:
                here = here + nn.functional.interpolate(above, scale_factor=2.0, mode="nearest")
            above = self.merge[level](here)
            maps.append(self.out[level](self.head[level](above)))
        return tuple(reversed(maps))


def cells(maps: tuple[Tensor, ...]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Put all cells in one row: scores (N, C), corners (N, C, 4, 2), centres (C, 2), strides (C,).

    Corners and centres are in input pixels.
    """
    scores, corners, centres, strides = [], [], [], []
    for stride, one in zip(STRIDES, maps, strict=True):
        rows, columns = one.shape[2:]
        y, x = torch.meshgrid(
            torch.arange(rows, device=one.device),
            torch.arange(columns, device=one.device),
            indexing="ij",
        )
        middle = (torch.stack([x, y], -1).reshape(-1, 2) + 0.5) * stride
        flat = one.flatten(2).transpose(1, 2)
        scores.append(flat[..., 0])
        away = flat[..., 1:].reshape(len(one), -1, 4, 2) * (UNIT * stride)
        corners.append(away + middle[:, None])
        centres.append(middle)
        strides.append(torch.full((rows * columns,), float(stride), device=one.device))
    return torch.cat(scores, 1), torch.cat(corners, 1), torch.cat(centres), torch.cat(strides)
