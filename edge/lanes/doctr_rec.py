"""docTR's text recognisers: PARSeq (Bautista and Atienza, 2022) and CRNN (Shi et al., 2015).

Input (N, 3, 32, 128) float32, normalised by docTR's own mean and deviation: one word each, scaled
without distortion to the top left of a black picture. Output, with V characters: PARSeq (N, 33,
V + 1) logits, one character after the other until class V, the end; CRNN (N, 32, V + 1) logits from
left to right, to be read as CTC, class V the blank.

Both read words, none of them knows the space. A line is cut where there is nothing between its
letters, its words are read one by one; a word too long for the input is read in parts that overlap.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Final

import cv2
import numpy as np

from edge.detection import FloatArray
from edge.errors import InferenceError, ModelError
from edge.frame import ByteArray, Picture
from edge.inference.engine import Engine
from edge.lanes.doctr_card import (
    ARCHITECTURE,
    CTC_ARCHITECTURES,
    RECOGNITION,
    read_norm,
    read_vocabulary,
)
from edge.lanes.reader import Reading
from edge.lanes.rectify import rectify

HEIGHT_PX: Final = 32
WIDTH_PX: Final = 128
MAX_BATCH: Final = 8
_CUT_ROWS: Final = 48
"""Height at which lines are cut into words."""
_SPACE: Final = 0.28
"""Heights of the writing that are a space: between letters it is a tenth, and the narrowest spaces
of common fonts are a third."""
_EMPTY: Final = 0.22
"""Contrast of a column, as a share of the line's, below which nothing is written in it."""
_LEAST_CONTRAST: Final = 12.0
_WIDEST: Final = 8.0
_PART: Final = 6.0
_OVERLAP: Final = 0.5
"""Width by height above which docTR reads a word in parts, that of a part, and the share of it that
two parts have in common."""
_TURNED_BELOW: Final = 0.7
"""Confidence below which a line is read upside down, too; there is no classifier for that here."""
_TURNED_LEAD: Final = 0.1


class DoctrReader:
    """Implements edge.lanes.reader.Reader."""

    def __init__(self, engine: Engine) -> None:
        """Raises ModelError where the file is no recogniser of docTR."""
        metadata, name = engine.metadata, engine.name
        self._engine = engine
        self._vocabulary = read_vocabulary(metadata, name)
        self._mean, self._std = read_norm(metadata, RECOGNITION, name)
        architecture = metadata.get(ARCHITECTURE, "")
        if not architecture:
            raise ModelError(
                f"model {name} does not say which architecture of docTR it is (metadata "
                f"'{ARCHITECTURE}'). Export it with `privaedge export --family doctr-rec`."
            )
        self._ctc = architecture.startswith(CTC_ARCHITECTURES)

    def read(self, picture: Picture, quads: FloatArray) -> list[Reading]:
        """Read lines. Raises InferenceError."""
        luma = picture.luma
        lines = [rectify(luma, quad, _CUT_ROWS) for quad in quads]
        readings = self._read(lines)
        unsure = [i for i, one in enumerate(readings) if one.confidence < _TURNED_BELOW]
        turned = [np.ascontiguousarray(lines[i][::-1, ::-1]) for i in unsure]
        for i, other in zip(unsure, self._read(turned), strict=True):
            if other.confidence > readings[i].confidence + _TURNED_LEAD:
                readings[i] = other
        return readings

    def _read(self, lines: Sequence[ByteArray]) -> list[Reading]:
        words = [cut_words(line) for line in lines]
        parts = [[cut_parts(word) for word in line] for line in words]
        flat = [part for line in parts for word in line for part in word]
        read = iter(self._read_parts(flat))
        readings = []
        for line in parts:
            said = [[next(read) for _ in word] for word in line]
            texts = [merge([one.text for one in word]) for word in said]
            weights = [max(1, len(one.text)) for word in said for one in word]
            sure = [one.confidence for word in said for one in word]
            text = " ".join(text for text in texts if text)
            confidence = float(np.average(sure, weights=weights)) if text else 0.0
            readings.append(Reading(text, confidence))
        return readings

    def _read_parts(self, parts: Sequence[ByteArray]) -> list[Reading]:
        readings: list[Reading] = []
        for start in range(0, len(parts), MAX_BATCH):
            tensor = to_tensor(parts[start : start + MAX_BATCH], self._mean, self._std)
            outputs = self._engine.run({self._engine.inputs[0]: tensor})
            logits = np.asarray(outputs[self._engine.outputs[0]], np.float32)
            readings += read_logits(logits, len(tensor), self._vocabulary, ctc=self._ctc)
        return readings


def to_tensor(parts: Sequence[ByteArray], mean: FloatArray, std: FloatArray) -> FloatArray:
    """Stack grey pictures of words, each (H, W) uint8, into (N, 3, 32, 128), normalised."""
    grey = np.zeros((len(parts), HEIGHT_PX, WIDTH_PX), np.float32)
    for canvas, part in zip(grey, parts, strict=True):
        scale = min(HEIGHT_PX / part.shape[0], WIDTH_PX / part.shape[1])
        rows = min(HEIGHT_PX, max(1, round(part.shape[0] * scale)))
        columns = min(WIDTH_PX, max(1, round(part.shape[1] * scale)))
        how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        canvas[:rows, :columns] = cv2.resize(part, (columns, rows), interpolation=how)
    tensor: FloatArray = ((grey[:, None] / 255 - mean[:, None, None]) / std[:, None, None]).astype(
        np.float32
    )
    return tensor


def read_logits(logits: FloatArray, count: int, vocabulary: str, *, ctc: bool) -> list[Reading]:
    """Turn logits, (count, T, V + 1), into what was read. Raises InferenceError."""
    classes = len(vocabulary) + 1
    if logits.ndim != 3 or logits.shape[0] != count or logits.shape[2] != classes:
        raise InferenceError(
            f"the text recogniser gave {logits.shape}, expected ({count}, …, {classes})"
        )
    if not np.isfinite(logits).all():
        raise InferenceError("the text recogniser gave NaN or infinity")
    best = logits.argmax(axis=2)
    chance = 1 / np.exp(logits - logits.max(axis=2, keepdims=True)).sum(axis=2)
    end = len(vocabulary)
    readings = []
    for indices, sure in zip(best, chance, strict=True):
        if ctc:
            new = np.ones(len(indices), bool)
            new[1:] = indices[1:] != indices[:-1]
            kept = np.flatnonzero(new & (indices != end))
        else:
            ends = np.flatnonzero(indices == end)
            kept = np.arange(ends[0] if len(ends) else len(indices))
        text = "".join(vocabulary[index] for index in indices[kept])
        readings.append(Reading(text, float(sure[kept].mean()) if len(kept) else 0.0))
    return readings


def cut_words(line: ByteArray) -> list[ByteArray]:
    """Cut a line, (H, W) uint8, where a space's width of it shows nothing; at least one part."""
    rows, columns = line.shape
    inner = line[rows // 8 : rows - rows // 8].astype(np.float32)
    contrast = np.percentile(inner, 95, axis=0) - np.percentile(inner, 5, axis=0)
    full = float(np.percentile(contrast, 90))
    if full < _LEAST_CONTRAST:
        return [line]
    least = max(_EMPTY * full, _LEAST_CONTRAST / 2)
    written = np.flatnonzero(contrast > least)
    across = np.percentile(line, 98, axis=1) - np.percentile(line, 2, axis=1)
    height = np.ptp(np.flatnonzero(across > least)) + 1 if (across > least).any() else rows
    edges = np.flatnonzero(np.diff(written) > _SPACE * height)
    starts = [0, *(int(written[at + 1] + written[at]) // 2 for at in edges)]
    ends = [*starts[1:], columns]
    return [np.ascontiguousarray(line[:, a:b]) for a, b in zip(starts, ends, strict=True) if b > a]


def cut_parts(word: ByteArray) -> list[ByteArray]:
    """Cut what is too wide to be read at once into overlapping parts of equal width."""
    rows, columns = word.shape
    if columns <= _WIDEST * rows:
        return [word]
    width = round(_PART * rows)
    count = -(-(columns - width) // round(width * (1 - _OVERLAP))) + 1
    starts = np.linspace(0, columns - width, count).round().astype(int)
    return [np.ascontiguousarray(word[:, start : start + width]) for start in starts]


def merge(texts: Sequence[str]) -> str:
    """Join what overlapping parts say: where the end of one is found in the next, it counts once.

    Nothing is dropped that is in one part only: where no overlap is found, both stand whole.
    """
    text = texts[0] if texts else ""
    for following in texts[1:]:
        tail = text[-len(following) :] if following else ""
        match = SequenceMatcher(None, tail, following, autojunk=False).find_longest_match()
        if match.size < 2:
            text += following
        else:
            # The part before knows what comes before the common stretch, the next what follows.
            text = text[: len(text) - len(tail) + match.a] + following[match.b :]
    return text
