"""docTR's decoders: against what was written and drawn, and for answers that are none."""

from __future__ import annotations

import json
from types import MappingProxyType

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InferenceError, ModelError
from edge.lanes import doctr_det
from edge.lanes.doctr_card import RECOGNITION, read_norm, read_vocabulary
from edge.lanes.doctr_rec import (
    HEIGHT_PX,
    MAX_BATCH,
    WIDTH_PX,
    DoctrReader,
    cut_parts,
    cut_words,
    merge,
    read_logits,
    to_tensor,
)
from edge.lanes.geometry import Fit
from tests.lanes.pictures import coloured

VOCABULARY = "abcdefghij0123456789"
END = len(VOCABULARY)


class Engine:
    """Answers what a function makes of its input."""

    inputs, outputs = ("input",), ("logits",)
    input_specs = output_specs = ()
    name = "mine"

    def __init__(self, answer, **metadata: str) -> None:
        self.answer = answer
        self.metadata = MappingProxyType(metadata)
        self.seen: list[np.ndarray] = []

    def run(self, feeds):
        self.seen.append(feeds["input"].copy())
        return {"logits": self.answer(feeds["input"])}


def parseq(answer=None) -> Engine:
    return Engine(
        answer or (lambda batch: written(["abc"] * len(batch))), doctr="parseq", vocab=VOCABULARY
    )


def written(texts: list[str], steps: int = 33, sure: float = 12.0) -> np.ndarray:
    """Logits of PARSeq for these texts; behind the end it says whatever it likes."""
    logits = np.random.default_rng(0).normal(0, 1, (len(texts), steps, END + 1)).astype(np.float32)
    for row, text in zip(logits, texts, strict=True):
        for at, letter in enumerate(text):
            row[at, VOCABULARY.index(letter)] = sure
        row[len(text), END] = sure
    return logits


# -- finding ---------------------------------------------------------------------------------------


def test_logits_of_cores_become_lines():
    fit = Fit.of(640, 320, 320, 32)
    logits = np.full((1, 1, fit.height, fit.width), -9, np.float32)
    for left in (40, 100):  # two words of a line
        logits[0, 0, 60:70, left : left + 50] = 6
    logits[0, 0, 120:130, 40:200] = 6
    found = doctr_det.decode(logits, fit, 0.05)
    assert len(found) == 2
    assert found.scores.min() > 0.99
    for box, line in zip(found.boxes[found.boxes[:, 1].argsort()], (60, 120), strict=True):
        x1, y1, x2, y2 = box
        assert y1 < 2 * line
        assert y2 > 2 * (line + 10)
        assert x1 < 80
        assert x2 > (300 if line == 60 else 400)


def test_a_detector_feeds_doctrs_colours():
    engine = Engine(lambda x: np.full((1, 1, *x.shape[2:]), -20, np.float32), doctr="db_resnet50")
    detector = doctr_det.DoctrDetector(engine, input_size=320, weakest=0.05)
    frame_id, found = detector.infer(7, coloured(320, 160))
    assert frame_id == 7
    assert len(found) == 0
    (seen,) = engine.seen
    assert seen.shape == (1, 3, 160, 320)
    rgb = coloured(320, 160).shrink(320, 160) / 255
    mean, std = (
        np.array(v)[:, None, None] for v in ((0.798, 0.785, 0.772), (0.264, 0.2749, 0.287))
    )
    np.testing.assert_allclose(seen[0], (rgb - mean) / std, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1, 32, 31), (1, 2, 32, 32), (1, 32, 32)])
def test_a_map_of_another_shape_is_an_error(shape):
    with pytest.raises(InferenceError, match="shape"):
        doctr_det.decode(np.zeros(shape, np.float32), Fit.of(32, 32, 32, 32), 0.1)


def test_a_map_without_numbers_is_an_error():
    for wrong in (np.nan, np.inf):
        with pytest.raises(InferenceError, match="NaN"):
            doctr_det.decode(np.full((1, 1, 32, 32), wrong), Fit.of(32, 32, 32, 32), 0.1)


def test_sure_logits_do_not_overflow():
    logits = np.full((1, 1, 32, 64), -1e30, np.float32)
    logits[0, 0, 8:24, 8:56] = 1e30
    with np.errstate(all="raise"):
        assert len(doctr_det.decode(logits, Fit.of(64, 32, 64, 32), 0.1)) == 1


# -- reading ---------------------------------------------------------------------------------------


@given(st.lists(st.text(VOCABULARY, max_size=32), min_size=1, max_size=MAX_BATCH))
def test_characters_are_read_up_to_the_end(texts):
    readings = read_logits(written(texts), len(texts), VOCABULARY, ctc=False)
    assert [one.text for one in readings] == texts
    assert all(one.confidence == 0 if not text else one.confidence > 0.99
               for one, text in zip(readings, texts, strict=True))  # fmt: skip


@given(st.text(VOCABULARY, max_size=15), st.integers(0, 3))
def test_ctc_joins_repeats_and_drops_blanks(text, spare):
    steps: list[int] = []
    for letter in text:
        steps += [VOCABULARY.index(letter)] * (1 + spare % 2) + [END]
    steps += [END] * (1 + spare)
    logits = np.full((1, len(steps), END + 1), -5, np.float32)
    logits[0, np.arange(len(steps)), steps] = 5
    (reading,) = read_logits(logits, 1, VOCABULARY, ctc=True)
    assert reading.text == text


@pytest.mark.parametrize(
    "logits",
    [
        np.zeros((1, 33, END), np.float32),
        np.zeros((2, 33, END + 1), np.float32),
        np.zeros((33, END + 1), np.float32),
        np.full((1, 33, END + 1), np.nan, np.float32),
        np.full((1, 33, END + 1), np.inf, np.float32),
    ],
)
def test_what_is_no_reading_is_an_error(logits):
    with pytest.raises(InferenceError):
        read_logits(logits, 1, VOCABULARY, ctc=False)


def sign(text: str, rows: int = 48) -> np.ndarray:
    """A printed line, as rectify() cuts it out."""
    scale, thickness = 1.2, 2
    (width, height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_DUPLEX, scale, thickness)
    canvas = np.full((rows, width + 16), 220, np.uint8)
    cv2.putText(canvas, text, (8, (rows + height) // 2), cv2.FONT_HERSHEY_DUPLEX, scale, 30,
                thickness, cv2.LINE_AA)  # fmt: skip
    return canvas


@pytest.mark.parametrize(
    "text", ["Evergreen", "742 Evergreen Terrace", "12 A", "call 555 0199 now", "Wimbledon"]
)
def test_a_line_is_cut_into_its_words(text):
    line = sign(text)
    parts = cut_words(line)
    assert len(parts) == len(text.split())
    assert sum(part.shape[1] for part in parts) == line.shape[1]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), line)


@pytest.mark.parametrize("value", [0, 128, 255])
def test_an_even_line_is_one_part(value):
    assert len(cut_words(np.full((48, 300), value, np.uint8))) == 1


@given(st.integers(1, 2500), st.integers(8, 60))
def test_parts_cover_a_word(columns, rows):
    word = np.arange(columns, dtype=np.uint16).astype(np.uint8)[None].repeat(rows, 0)
    parts = cut_parts(word)
    assert all(part.shape[1] <= 8 * rows for part in parts)
    assert parts[0].shape[1] == parts[-1].shape[1]
    np.testing.assert_array_equal(parts[0], word[:, : parts[0].shape[1]])
    np.testing.assert_array_equal(parts[-1], word[:, -parts[-1].shape[1] :])
    assert sum(part.shape[1] for part in parts) >= columns


def test_overlapping_readings_count_once():
    assert merge(["llanfairpwll", "rpwllgwyngyll"]) == "llanfairpwllgwyngyll"
    assert merge(["555019", "019988", "9882"]) == "5550199882"
    assert merge(["abc", "xyz"]) == "abcxyz"
    assert merge(["abc", "", "cde"]) == "abccde"
    assert merge([]) == ""


@given(st.lists(st.text(VOCABULARY, max_size=8), max_size=4))
def test_no_character_is_lost_that_one_part_alone_saw(texts):
    merged = merge(texts)
    assert set(merged) == set("".join(texts)) or len(texts) > 1
    assert len(merged) <= sum(map(len, texts))


def test_words_are_laid_on_black_without_distortion():
    mean, std = read_norm({}, RECOGNITION, "mine")
    word = np.full((48, 96), 255, np.uint8)
    tensor = to_tensor([word, np.full((48, 288), 255, np.uint8)], mean, std)
    assert tensor.shape == (2, 3, HEIGHT_PX, WIDTH_PX)
    white, black = (1 - mean) / std, (0 - mean) / std
    for channel in range(3):
        np.testing.assert_allclose(tensor[0, channel, :, :64], white[channel], rtol=1e-5)
        np.testing.assert_allclose(tensor[0, channel, :, 64:], black[channel], rtol=1e-5)
        # Six times as wide as high: the whole width, and 21 rows of it.
        np.testing.assert_allclose(tensor[1, channel, :21], white[channel], rtol=1e-5)
        np.testing.assert_allclose(tensor[1, channel, 21:], black[channel], rtol=1e-5)


def test_a_reader_reads_lines_word_by_word():
    texts = iter(["742", "evergreen".replace("v", "b").replace("r", "c").replace("n", "d")])
    engine = parseq(lambda batch: written([next(texts) for _ in batch]))
    reader = DoctrReader(engine)
    canvas = np.full((120, 640), 220, np.uint8)
    line = sign("742 Evergreen")
    canvas[30:78, 40 : 40 + line.shape[1]] = line
    (reading,) = reader.read(_Grey(canvas), _quad(40, 30, line.shape[1], 48)[None])
    assert reading.text == "742 ebecgceed"
    assert reading.confidence > 0.99
    assert engine.seen[0].shape == (2, 3, HEIGHT_PX, WIDTH_PX)


def test_a_line_that_is_upside_down_is_read_too():
    """What is unsure is turned, and the surer reading counts."""
    answers = iter([written(["abc"], sure=2.5), written(["def"], sure=12.0)])
    engine = parseq(lambda batch: next(answers))
    canvas = np.full((60, 200), 220, np.uint8)
    line = sign("abc")
    canvas[6:54, : line.shape[1]] = line
    (reading,) = DoctrReader(engine).read(_Grey(canvas), _quad(0, 6, line.shape[1], 48)[None])
    assert reading.text == "def"
    np.testing.assert_allclose(
        engine.seen[1][0, 0, :, : engine.seen[1].shape[3] // 4].mean(),
        engine.seen[0][0, 0, :, : engine.seen[0].shape[3] // 4].mean(),
        atol=1.0,
    )


def test_no_lines_are_no_run():
    engine = parseq()
    assert DoctrReader(engine).read(coloured(64, 64), np.zeros((0, 4, 2), np.float32)) == []
    assert engine.seen == []


@pytest.mark.parametrize(
    ("metadata", "match"),
    [
        ({"doctr": "parseq"}, "characters"),
        ({"doctr": "parseq", "vocab": "aba"}, "characters"),
        ({"vocab": VOCABULARY}, "architecture"),
        ({"doctr": "parseq", "vocab": VOCABULARY, "mean": "[0, 1]"}, "mean"),
        ({"doctr": "parseq", "vocab": VOCABULARY, "std": "[0, 0, 0]"}, "std"),
        ({"doctr": "parseq", "vocab": VOCABULARY, "std": "no"}, "std"),
    ],
)
def test_a_file_that_does_not_say_what_it_is_is_refused(metadata, match):
    with pytest.raises(ModelError, match=match):
        DoctrReader(Engine(None, **metadata))


def test_a_file_may_state_its_own_normalisation():
    mean, std = read_norm({"mean": json.dumps([0.5, 0.5, 0.5])}, RECOGNITION, "mine")
    assert mean.tolist() == [0.5, 0.5, 0.5]
    assert std == pytest.approx(np.array(RECOGNITION[1], np.float32))
    assert read_vocabulary({"vocab": VOCABULARY}, "mine") == VOCABULARY


class _Grey:
    def __init__(self, luma: np.ndarray) -> None:
        self.luma = luma
        self.height, self.width = luma.shape


def _quad(x: float, y: float, width: float, height: float) -> np.ndarray:
    return np.array([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], np.float32)
