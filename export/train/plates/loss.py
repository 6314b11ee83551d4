"""Which cells answer for which plate, and what a wrong answer costs."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from export.train.plates.shelf import DOUBTFUL, PLATE

REACH: Final = {8: (0.0, 72.0), 16: (44.0, 160.0), 32: (104.0, 1e9)}
"""Pixels of a plate's long side for which a stride answers: they overlap, so that no plate falls
between two."""
_CORE: Final = (0.18, 0.3)
"""Cells within so much of a plate's width and height from its middle answer for it."""
_NEAR: Final = 0.7
"""And those within so many strides, or small plates would have none."""
_RIM: Final = 0.3
"""Weight of a plate's other cells as background: a second, worse answer is no grave mistake."""
_LEAST: Final = 0.3
"""Target of a score where the box is still all wrong: the beginning needs one."""
_GIOU, _CORNERS = 1.5, 0.7


def assign(
    quads: Tensor, kinds: Tensor, centres: Tensor, strides: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return which plate each cell answers for, (N, C), -1 for none, and the cells' weights.

    quads: (N, M, 4, 2), kinds: (N, M) of shelf.py, centres (C, 2), strides (C,). The second result
    are the weights, (N, C); the third the corners that each cell should give, (N, C, 4, 2).
    """
    middle = quads.mean(2)
    along = (quads[:, :, 1] + quads[:, :, 2] - quads[:, :, 0] - quads[:, :, 3]) / 2
    down = (quads[:, :, 3] + quads[:, :, 2] - quads[:, :, 0] - quads[:, :, 1]) / 2
    cross = along[..., 0] * down[..., 1] - along[..., 1] * down[..., 0]
    cross = torch.where(cross.abs() > 1e-3, cross, torch.ones_like(cross))[..., None]
    away = centres[None, None] - middle[:, :, None]  # (N, M, C, 2)
    u = (away[..., 0] * down[:, :, None, 1] - away[..., 1] * down[:, :, None, 0]) / cross
    v = (away[..., 1] * along[:, :, None, 0] - away[..., 0] * along[:, :, None, 1]) / cross
    wide, high = along.norm(dim=-1)[..., None], down.norm(dim=-1)[..., None]
    near_x = (u.abs() * wide) <= torch.maximum(_CORE[0] * wide, _NEAR * strides)
    near_y = (v.abs() * high) <= torch.maximum(_CORE[1] * high, _NEAR * strides)
    longest = torch.maximum(wide, high)
    low = torch.zeros_like(strides)
    top = torch.zeros_like(strides)
    for stride, (least, most) in REACH.items():
        low[strides == stride], top[strides == stride] = least, most
    fits = (longest >= low) & (longest <= top)
    answers = near_x & near_y & fits & (kinds == PLATE)[..., None]
    distance = torch.where(answers, u.abs() + v.abs(), torch.full_like(u, torch.inf))
    nearest, which = distance.min(1)
    which = torch.where(nearest.isfinite(), which, torch.full_like(which, -1))
    inside = (u.abs() < 0.55) & (v.abs() < 0.6)  # half a plate, and a little more
    weights = torch.ones_like(nearest)
    weights[(inside & (kinds == PLATE)[..., None]).any(1)] = _RIM
    margin = strides / wide.clamp(min=1)
    around = (u.abs() < 0.6 + margin) & (v.abs() < 0.6 + strides / high.clamp(min=1))
    weights[(around & (kinds == DOUBTFUL)[..., None]).any(1)] = 0.0
    weights[which >= 0] = 1.0
    index = which.clamp(min=0)[..., None, None].expand(-1, -1, 4, 2)
    return which, weights, quads.gather(1, index)


def bounds(quads: Tensor) -> Tensor:
    """Return the upright boxes, (..., 4), of quads (..., 4, 2)."""
    return torch.cat([quads.amin(-2), quads.amax(-2)], -1)


def overlap(one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
    """Return IoU and GIoU of boxes (..., 4), pairwise."""
    common = torch.minimum(one[..., 2:], other[..., 2:]) - torch.maximum(
        one[..., :2], other[..., :2]
    )
    both = common.clamp(min=0).prod(-1)
    areas = [(box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1) for box in (one, other)]
    union = areas[0] + areas[1] - both + 1e-6
    hull = torch.maximum(one[..., 2:], other[..., 2:]) - torch.minimum(one[..., :2], other[..., :2])
    around = hull.clamp(min=0).prod(-1) + 1e-6
    iou = both / union
    return iou, iou - (around - union) / around


def plate_loss(
    answer: tuple[Tensor, Tensor, Tensor, Tensor], quads: Tensor, kinds: Tensor
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of a batch, a scalar, and its parts as numbers.

    answer: what network.cells returns; quads (N, M, 4, 2), kinds (N, M). The score is
    taught how well the box fits (quality focal loss), the corners by GIoU of their upright boxes
    and by their distance in units of the plate's own size.
    """
    scores, corners, centres, strides = answer
    which, weights, wanted = assign(quads, kinds, centres, strides)
    positive = which >= 0
    target = torch.zeros_like(scores)
    count = positive.sum().clamp(min=1)
    box_loss = corner_loss = scores.sum() * 0
    if positive.any():
        seen, true = corners[positive], wanted[positive]
        iou, giou = overlap(bounds(seen), bounds(true))
        quality = iou.detach().sqrt().clamp(min=_LEAST)
        target[positive] = quality
        size = (true[:, 1] - true[:, 0]).norm(dim=-1) * (true[:, 3] - true[:, 0]).norm(dim=-1)
        error = (seen - true) / size.clamp(min=16).sqrt()[:, None, None]
        box_loss = ((1 - giou) * quality).sum() / count
        corner_loss = (
            functional.smooth_l1_loss(error, torch.zeros_like(error), beta=0.2, reduction="none")
            .sum((1, 2)) * quality
        ).sum() / count  # fmt: skip
    chance = scores.detach().sigmoid()
    focus = (target - chance).abs().square() * weights
    entropy = functional.binary_cross_entropy_with_logits(scores, target, reduction="none")
    score_loss = (focus * entropy).sum() / count
    total = score_loss + _GIOU * box_loss + _CORNERS * corner_loss
    parts = {"score": float(score_loss.detach()), "box": float(box_loss.detach()),
             "corners": float(corner_loss.detach())}  # fmt: skip
    return total, parts
