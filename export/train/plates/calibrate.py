"""Make scores mean what they say: of boxes with a score of 0.7, seven in ten are plates.

Training teaches the score how well a box fits, which is a good order and a poor probability. Two
numbers, fitted to drawn scenes that were not trained on (Platt scaling), turn one into the other;
they go into the last layers, so that nothing is left to do when the network runs.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from edge.detection import iou_matrix
from edge.errors import ModelError
from export.train.plates.evaluate import Judged
from export.train.plates.network import PlateNet
from export.train.plates.shelf import PLATE

RIGHT_IOU: Final = 0.5
"""Overlap from which a box found is a plate; below, on a plate or not, it is none."""
_ROUNDS: Final = 60
_PRIOR: Final = 1e-3
"""Keeps the fit finite where all scores are right or all are wrong."""
_FEWEST: Final = 20


def answers(judged: list[Judged]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return what scores were before the sigmoid, (N,), and whether there was a plate, (N,).

    What was found on something doubtful counts neither way.
    """
    logits, right = [], []
    for one in judged:
        scores = np.clip(one.found.scores.astype(np.float64), 1e-6, 1 - 1e-6)
        true = np.concatenate([one.quads.min(axis=1), one.quads.max(axis=1)], axis=1)
        overlap = iou_matrix(one.found.boxes, true)
        plate = overlap[:, one.kinds == PLATE].max(axis=1, initial=0) >= RIGHT_IOU
        doubtful = overlap[:, one.kinds != PLATE].max(axis=1, initial=0) > 0
        asked = plate | ~doubtful
        logits.append(np.log(scores / (1 - scores))[asked])
        right.append(plate[asked])
    return np.concatenate(logits), np.concatenate(right)


def fit(logits: NDArray[np.float64], right: NDArray[np.bool_]) -> tuple[float, float]:
    """Return slope and shift of the logistic curve that fits best (Newton's method).

    Raises ModelError where there are too few answers, or where a higher score means less.
    """
    if min(int(right.sum()), int((~right).sum())) < _FEWEST:
        raise ModelError("too few boxes to calibrate by. Draw more scenes for validation.")
    x = np.stack([logits, np.ones_like(logits)], axis=1)
    weights = np.array([1.0, 0.0])
    for _ in range(_ROUNDS):
        chance = 1 / (1 + np.exp(-np.clip(x @ weights, -60, 60)))
        slope = x.T @ (chance - right) + _PRIOR * weights
        bend = (x * (chance * (1 - chance))[:, None]).T @ x + _PRIOR * np.eye(2)
        step = np.linalg.solve(bend, slope)
        # Half of a step that is too long overshoots less than it gains.
        weights -= step * min(1.0, 2.0 / max(1e-9, float(np.abs(step).max())))
    if weights[0] <= 0:
        raise ModelError("scores say nothing about what is a plate. Train for longer.")
    return float(weights[0]), float(weights[1])


def apply(network: PlateNet, slope: float, shift: float) -> None:
    """Put slope and shift of the score before the sigmoid into a network's last layers."""
    with torch.no_grad():
        for layer in network.out:
            assert isinstance(layer, nn.Conv2d)
            assert layer.bias is not None
            layer.weight[0] *= slope
            layer.bias[0] = layer.bias[0] * slope + shift
