"""Reader of the PP-OCR family: cuts lines out of a picture, turns them upright, and reads them.

The recogniser (Du et al.: SVTR, 2022; trained with connectionist temporal classification, CTC)
takes (N, 3, 48, W) float32, BGR, values in -1..1, and gives (N, W/8, C) probabilities: class 0 is
the blank, then the characters of its dictionary, then the space. The orientation classifier takes
(N, 3, 48, 192) in the same way and gives (N, 2): upright and upside down.

Lines are read from luma alone, in full resolution: of 96 rendered coloured signs of 14 to 32 px 91
were read to the letter, in colour 89. That takes no conversion.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from edge.detection import FloatArray
from edge.errors import InferenceError, ModelError
from edge.frame import ByteArray, Picture
from edge.inference.engine import Engine
from edge.lanes.reader import Reading
from edge.lanes.rectify import rectify

LINE_HEIGHT_PX = 48
"""Height that lines are scaled to: what PP-OCRv3 and later were trained on."""
_STEP_PX = 8
"""Columns of the input that give one step of the output."""
_WIDTH_RATIO = 1.25
"""How much wider than the narrowest a line in the same batch may be. On a CPU a batch saves
nothing but overhead, and what pads a line costs as much as the line."""
_MAX_BATCH = 8
_CLASSIFIER_WIDTH_PX = 192
_UPSIDE_DOWN = 0.9
"""Probability from which a line is read upside down, too. PP-OCR's own value, for turning it."""
_TURNED_LEAD = 0.1
"""How much surer that has to be to count: most lines are upright."""
_SPACE = 0.02
"""Probability of a space, anywhere between two characters, from which there is one. Where it would
have to be the likeliest class, as for other characters, this family loses most of them: on 228
rendered lines 0.5 found 37 % of the spaces and 0.02 finds 97 %, with 0.2 % of the other places
taken for one."""
_ONE = 1.001
"""A probability may end a little above 1 in half precision."""


class PpocrReader:
    """Implements edge.lanes.reader.Reader."""

    def __init__(
        self, recogniser: Engine, characters: Sequence[str], orientation: Engine | None
    ) -> None:
        """characters: what classes 1, 2, … of the recogniser mean. orientation: the classifier;
        without one, lines that are upside down are not read."""
        self._recogniser = recogniser
        self._characters = ("", *characters)
        self._orientation = orientation

    def read(self, picture: Picture, quads: FloatArray) -> list[Reading]:
        """Read lines. Raises InferenceError."""
        luma = picture.luma
        lines = [rectify(luma, quad, LINE_HEIGHT_PX) for quad in quads]
        readings = self._read(lines)
        # The classifier takes one plate in twelve for upside down: both ways have to be read.
        suspects = self._upside_down(lines)
        turned = [np.ascontiguousarray(lines[i][::-1, ::-1]) for i in suspects]
        for i, other in zip(suspects, self._read(turned), strict=True):
            if other.confidence > readings[i].confidence + _TURNED_LEAD:
                readings[i] = other
        return readings

    def _read(self, lines: Sequence[ByteArray]) -> list[Reading]:
        readings = [Reading("", 0.0)] * len(lines)
        for batch in batches([line.shape[1] for line in lines]):
            chances = self._run([lines[i] for i in batch])
            for i, chance in zip(batch, chances, strict=True):
                readings[i] = ctc_greedy(chance, self._characters)
        return readings

    def _run(self, lines: Sequence[ByteArray]) -> FloatArray:
        width = max(line.shape[1] for line in lines)
        tensor = _tensor(lines, -(-width // _STEP_PX) * _STEP_PX)
        chances = self._recogniser.run({self._recogniser.inputs[0]: tensor})
        chance = chances[self._recogniser.outputs[0]]
        expected = (len(lines), tensor.shape[3] // _STEP_PX, len(self._characters))
        if chance.shape != expected:
            raise InferenceError(f"the text recogniser gave {chance.shape}, expected {expected}")
        return chance

    def _upside_down(self, lines: Sequence[ByteArray]) -> list[int]:
        """Which lines the classifier takes for upside down."""
        if self._orientation is None or not lines:
            return []
        size = (_CLASSIFIER_WIDTH_PX, LINE_HEIGHT_PX)
        small = [
            np.asarray(cv2.resize(line, size, interpolation=cv2.INTER_AREA), np.uint8)
            if line.shape[1] > _CLASSIFIER_WIDTH_PX
            else line
            for line in lines
        ]
        classifier = self._orientation
        outputs = classifier.run({classifier.inputs[0]: _tensor(small, _CLASSIFIER_WIDTH_PX)})
        chance = outputs[classifier.outputs[0]]
        if chance.shape != (len(lines), 2):
            raise InferenceError(f"the orientation classifier gave {chance.shape}")
        return [i for i, down in enumerate(chance[:, 1].tolist()) if down >= _UPSIDE_DOWN]


def dictionary(metadata: str | None, name: str) -> tuple[str, ...]:
    """Characters of classes 1, 2, … of a recogniser, from its metadata `character`: one a line.

    The space, which is added as the last class, is not in it. Raises ModelError where a model
    brings no dictionary.
    """
    if not metadata:
        raise ModelError(
            f"model {name} brings no dictionary (metadata 'character'). Use ppocr-v4-rec, or add "
            "the dictionary to the file."
        )
    return (*metadata.splitlines(), " ")


def batches(widths: Sequence[int]) -> list[list[int]]:
    """Group lines of similar width, at most _MAX_BATCH together: lists of their indices."""
    groups: list[list[int]] = []
    for i in sorted(range(len(widths)), key=lambda i: widths[i]):
        group = groups[-1] if groups else []
        if group and len(group) < _MAX_BATCH and widths[i] <= _WIDTH_RATIO * widths[group[0]]:
            group.append(i)
        else:
            groups.append([i])
    return groups


def ctc_greedy(chance: FloatArray, characters: Sequence[str]) -> Reading:
    """Read the likeliest class of each step; repeats are one character, class 0 parts them.

    chance: (T, C) probabilities. characters: C of them, the first for the blank, the last for the
    space. Raises InferenceError for what are no probabilities.
    """
    best = chance.argmax(axis=1)
    sure = chance[np.arange(len(best)), best]
    if not ((sure >= 0) & (sure <= _ONE)).all():
        raise InferenceError("the text recogniser gave probabilities beyond 0..1")
    new = np.ones(len(best), bool)
    new[1:] = best[1:] != best[:-1]
    steps = np.flatnonzero(new & (best != 0) & (best != len(characters) - 1))
    if not len(steps):
        return Reading("", 0.0)
    spaces = np.cumsum(chance[:, -1] > _SPACE)
    parted = spaces[steps[1:] - 1] > spaces[steps[:-1]]
    text = characters[best[steps[0]]]
    for step, apart in zip(steps[1:].tolist(), parted.tolist(), strict=True):
        text += f" {characters[best[step]]}" if apart else characters[best[step]]
    return Reading(text, min(1.0, float(sure[steps].mean())))


def _tensor(lines: Sequence[ByteArray], width: int) -> FloatArray:
    """Stack lines into (N, 3, LINE_HEIGHT_PX, width) in -1..1, with grey at their right."""
    tensor = np.zeros((len(lines), 3, LINE_HEIGHT_PX, width), np.float32)
    for i, line in enumerate(lines):
        tensor[i, :, :, : line.shape[1]] = line * np.float32(2 / 255) - 1
    return tensor
