"""How the plate detector learns, and that what is trained is what is published and judged."""

from __future__ import annotations

import hashlib
import json
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch", reason="PyTorch is not installed (extra 'train-plates')")
pytest.importorskip("PIL", reason="Pillow is not installed (extra 'train-plates')")

import torch

from edge.detection import Detections
from edge.errors import ModelError
from edge.inference.onnx import OnnxEngine
from edge.lanes.plate_families import plate_family
from edge.lanes.plate_own import STRIDES, UNIT
from export.train.plates import calibrate, evaluate, publish, sheet, state, train
from export.train.plates.batches import CROP, one_picture
from export.train.plates.evaluate import Judged, score
from export.train.plates.loss import assign, bounds, overlap, plate_loss
from export.train.plates.network import PlateNet, cells
from export.train.plates.scene import SIDE, Scene
from export.train.plates.shelf import DOUBTFUL, NONE, PLATE, Shelf

SIZE = 256


def box(x1: float, y1: float, x2: float, y2: float) -> list[list[float]]:
    return [[x1, y1], [x2, y1], [x2, y2], [x1, y2]]


def truth(*boxes: tuple[float, ...], kind: int = PLATE) -> tuple[torch.Tensor, torch.Tensor]:
    """Quads (1, 4, 4, 2) and kinds (1, 4), padded."""
    quads, kinds = torch.zeros(1, 4, 4, 2), torch.zeros(1, 4, dtype=torch.uint8)
    for k, one in enumerate(boxes):
        quads[0, k], kinds[0, k] = torch.tensor(box(*one)), kind
    return quads, kinds


def grid() -> tuple[torch.Tensor, torch.Tensor]:
    """Centres and strides of the cells of a picture of SIZE × SIZE."""
    maps = tuple(torch.zeros(1, 9, SIZE // s, SIZE // s) for s in STRIDES)
    _, _, centres, strides = cells(maps)
    return centres, strides


# -- which cells answer -----------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.floats(10, 246), st.floats(10, 246), st.floats(10, 240), st.floats(1.0, 5.0))
def test_every_plate_has_cells_and_they_lie_on_it(x, y, width, aspect):
    height = max(width / aspect, 4)
    quads, kinds = truth((x - width / 2, y - height / 2, x + width / 2, y + height / 2))
    centres, strides = grid()
    which, weights, wanted = assign(quads, kinds, centres, strides)
    chosen = which[0] >= 0
    assert chosen.any()
    assert (weights[0][chosen] == 1).all()
    away = (centres[chosen] - torch.tensor([x, y])).abs()
    assert (away[:, 0] <= torch.clamp(strides[chosen] * 0.7, min=0.18 * width) + 1e-3).all()
    assert torch.allclose(wanted[0][chosen], quads[0, 0])


def test_doubtful_plates_are_neither_right_nor_wrong():
    quads, kinds = truth((100, 100, 160, 120), kind=DOUBTFUL)
    centres, strides = grid()
    which, weights, _ = assign(quads, kinds, centres, strides)
    assert (which < 0).all()
    on_it = (centres - torch.tensor([130.0, 110.0])).abs().amax(1) < 6
    assert (weights[0][on_it] == 0).all()
    far = (centres - torch.tensor([130.0, 110.0])).abs().amax(1) > 90
    assert (weights[0][far] == 1).all()


def test_padding_is_nothing():
    quads, kinds = truth()
    which, weights, _ = assign(quads, kinds, *grid())
    assert (which < 0).all()
    assert (weights == 1).all()


# -- what a wrong answer costs ----------------------------------------------------------------


def test_overlap_is_that_of_boxes():
    one = bounds(torch.tensor([box(0, 0, 10, 10), box(0, 0, 10, 10)]))
    other = bounds(torch.tensor([box(5, 0, 15, 10), box(20, 0, 30, 10)]))
    iou, giou = overlap(one, other)
    assert torch.allclose(iou, torch.tensor([1 / 3, 0.0]), atol=1e-5)
    assert torch.allclose(giou, torch.tensor([1 / 3, -1 / 3]), atol=1e-5)


def perfect(quads: torch.Tensor, kinds: torch.Tensor) -> tuple[torch.Tensor, ...]:
    centres, strides = grid()
    which, _, wanted = assign(quads, kinds, centres, strides)
    scores = torch.where(which >= 0, 9.0, -9.0)
    return scores, wanted, centres, strides


def test_the_right_answer_costs_next_to_nothing_and_a_wrong_one_much():
    quads, kinds = truth((100, 100, 160, 120), (20, 30, 50, 38))
    answer = perfect(quads, kinds)
    right = float(plate_loss(answer, quads, kinds)[0])
    assert right < 0.01
    missed = (torch.full_like(answer[0], -9.0), *answer[1:])
    shifted = (answer[0], answer[1] + 12, *answer[2:])
    everywhere = (torch.full_like(answer[0], 9.0), *answer[1:])
    for wrong in (missed, shifted, everywhere):
        assert float(plate_loss(wrong, quads, kinds)[0]) > 1


def test_a_picture_without_plates_teaches_silence():
    quads, kinds = truth()
    centres, strides = grid()
    scores = torch.zeros(1, len(centres), requires_grad=True)
    loss, _ = plate_loss(
        (scores, torch.zeros(1, len(centres), 4, 2), centres, strides), quads, kinds
    )
    torch.autograd.backward([loss])
    assert (scores.grad > 0).all()


# -- the network ------------------------------------------------------------------------------


def test_the_network_is_small_and_takes_any_size():
    network = PlateNet().eval()
    assert sum(p.numel() for p in network.parameters()) < 1_000_000
    with torch.no_grad():
        maps = network(torch.zeros(2, 3, 96, 160))
    assert [tuple(m.shape) for m in maps] == [(2, 9, 96 // s, 160 // s) for s in STRIDES]


def test_cells_give_corners_where_the_decoder_reads_them():
    maps = [torch.zeros(1, 9, SIZE // s, SIZE // s) for s in STRIDES]
    maps[1][0, 3, 2, 5] = 1.5  # the second corner's x
    _, corners, centres, strides = cells(tuple(maps))
    cell = (SIZE // 8) ** 2 + 2 * (SIZE // 16) + 5
    assert strides[cell] == 16
    assert centres[cell].tolist() == [5.5 * 16, 2.5 * 16]
    assert corners[0, cell, 1].tolist() == [5.5 * 16 + 1.5 * UNIT * 16, 2.5 * 16]


# -- batches ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Shelf:
    """Scenes of one white plate each on black, drawn without fonts."""
    return filled(tmp_path_factory.mktemp("scenes") / "train", seed=1, count=12)


def filled(folder, *, seed: int, count: int) -> Shelf:
    made = Shelf(folder, seed, count, write=True)
    rng = np.random.default_rng(seed)
    for number in range(count):
        picture = np.zeros((SIDE, SIDE, 3), np.uint8)
        width = int(rng.integers(40, 140))
        x, y = (int(v) for v in rng.integers(10, SIDE - 150, 2))
        picture[y : y + width // 3, x : x + width] = 255
        quad = np.array([box(x, y, x + width, y + width // 3)], np.float32)
        made.put(number, Scene(picture, quad, np.zeros(1, bool)))
    return made


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_corners_stay_on_the_plate_whatever_is_done_to_the_picture(shelf, seed):
    picture, quads, kinds = one_picture(shelf, shelf.drawn(), np.random.default_rng(seed))
    assert picture.shape == (CROP, CROP, 3)
    bright = picture.mean(axis=2) > picture.mean(axis=2).max() / 2 + 40
    for quad in quads[kinds == PLATE]:
        x, y = quad.mean(0)
        if 0 <= x < CROP and 0 <= y < CROP:
            assert bright[int(y), int(x)]
        assert quad[1, 0] > quad[0, 0]  # mirrored or not, they begin at the top left
        assert quad[3, 1] > quad[0, 1]
    assert (quads[kinds == NONE] == 0).all()


# -- judging ----------------------------------------------------------------------------------


def judged(found: list, scores: list, quads: list, kinds: list) -> Judged:
    boxes = np.array(found, np.float32).reshape(-1, 4)
    return Judged(
        Detections(boxes, np.array(scores, np.float32), label="plate"),
        np.array(quads, np.float32).reshape(-1, 4, 2),
        np.array(kinds, np.uint8),
    )


def test_what_is_hidden_and_what_is_falsely_alarmed_is_counted():
    one = box(100, 100, 160, 120)
    scenes = [
        judged([[100, 100, 160, 120]], [0.9], [one], [PLATE]),  # hidden
        judged([[100, 100, 140, 120]], [0.9], [one], [PLATE]),  # two thirds
        judged([[100, 100, 160, 120]], [0.1], [one], [PLATE]),  # too weak
        judged([[10, 10, 30, 20]], [0.9], [], []),  # false
        judged([[100, 100, 160, 120]], [0.9], [one], [DOUBTFUL]),  # nobody asks
    ]
    result = score(scenes, 0.4, 0.0)
    assert (result["plates"], result["pictures"]) == (3, 5)
    assert result["hidden_pct"] == pytest.approx(33.33)
    assert result["false_pct"] == pytest.approx(20)
    assert result["bands"] == {"32-64": 33.3}
    assert score(scenes, 0.4, 0.25)["hidden_pct"] == pytest.approx(66.67)
    assert score(scenes, 0.05, 0.0)["hidden_pct"] == pytest.approx(66.67)


# -- from scenes to a file --------------------------------------------------------------------


def command(module, *words: object) -> int:
    old = sys.argv
    sys.argv = [module.__name__, *map(str, words)]
    threads = torch.get_num_threads()
    try:
        return module.main()
    finally:
        sys.argv = old
        torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def trained(shelf, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    filled(folder / "valid", seed=2, count=3)
    scenes = shelf.pictures.filename.parent
    words = ("--scenes", scenes, "--valid", folder / "valid", "--out", folder / "run", "--batch", 4)
    assert command(train, *words, "--samples", 8) == 0
    assert command(train, *words, "--samples", 16, "--resume") == 0
    return folder


def test_training_goes_on_where_it_was_stopped(trained):
    rows = [json.loads(r) for r in (trained / "run/curve.jsonl").read_text().splitlines()]
    assert [row["samples"] for row in rows] == [8, 16]
    assert {"hidden_pct", "false_pct", "score", "box", "corners"} <= set(rows[-1])


def test_what_was_trained_is_what_runs(trained, capsys):
    out = trained / "plates.onnx"
    assert command(publish, "--checkpoint", trained / "run/checkpoint.npz", out) == 0
    data = out.read_bytes()
    printed = capsys.readouterr().out
    assert hashlib.sha256(data).hexdigest() in printed
    assert f"size: {len(data)}" in printed
    assert len(data) < publish.MAX_BYTES
    family = plate_family(None, data, "mine")
    assert family.name == "plate-own"
    network = state.load_average(trained / "run/checkpoint.npz")
    picture = np.random.default_rng(0).random((1, 3, 64, 96), dtype=np.float32)
    with torch.no_grad():
        wanted = network(torch.from_numpy(picture))
    seen = OnnxEngine(data, "mine").run({publish.INPUT: picture})
    for stride, one in zip(STRIDES, wanted, strict=True):
        assert np.allclose(seen[f"plates_{stride}"], one.numpy(), atol=1e-3)


def test_a_checkpoint_and_its_file_are_judged_alike(trained, capsys):
    out = trained / "again.onnx"
    assert command(publish, "--checkpoint", trained / "run/checkpoint.npz", out) == 0
    capsys.readouterr()
    results = []
    for words in (("--checkpoint", trained / "run/checkpoint.npz"), ("--model", out)):
        assert command(evaluate, *words, "--valid", trained / "valid") == 0
        results.append([json.loads(line) for line in capsys.readouterr().out.splitlines()])
    assert results[1].pop(0)["median_ms"] > 0
    assert results[0] == results[1]
    assert len(results[0]) == len(evaluate.THRESHOLDS) * len(evaluate.GROWTHS)


def test_failures_are_shown_on_a_sheet(trained):
    model, out = trained / "for-sheet.onnx", trained / "failures.jpg"
    assert command(publish, "--checkpoint", trained / "run/checkpoint.npz", model) == 0
    words = ("--model", model, "--valid", trained / "valid", "--out", out)
    assert command(sheet, *words) == 0
    shown = cv2.imread(str(out))
    assert shown.shape[1] == sheet.COLUMNS * sheet.TILE
    assert shown.shape[0] % sheet.TILE == 0


def test_calibration_finds_the_curve_that_scores_follow():
    rng = np.random.default_rng(0)
    logits = rng.uniform(-3, 3, 20_000)
    right = rng.random(20_000) < 1 / (1 + np.exp(-(2.5 * logits + 0.7)))
    slope, shift = calibrate.fit(logits, right)
    assert slope == pytest.approx(2.5, rel=0.05)
    assert shift == pytest.approx(0.7, abs=0.1)
    with pytest.raises(ModelError, match="Train for longer"):
        calibrate.fit(-logits, right)
    with pytest.raises(ModelError, match="too few"):
        calibrate.fit(logits[:30], np.ones(30, bool))


def test_calibration_changes_scores_and_nothing_else():
    network, changed = PlateNet().eval(), PlateNet().eval()
    changed.load_state_dict(network.state_dict())
    calibrate.apply(changed, 2.0, -0.5)
    picture = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for old, new in zip(network(picture), changed(picture), strict=True):
            assert torch.allclose(new[:, 0], old[:, 0] * 2 - 0.5, atol=1e-4)
            assert torch.equal(new[:, 1:], old[:, 1:])


def test_what_lies_on_something_doubtful_calibrates_nothing():
    one, other = box(100, 100, 160, 120), box(10, 10, 60, 30)
    found = [[100, 100, 160, 120], [10, 10, 60, 30], [200, 200, 240, 220]]
    scenes = [judged(found, [0.9, 0.8, 0.5], [one, other], [PLATE, DOUBTFUL])]
    logits, right = calibrate.answers(scenes)
    assert right.tolist() == [True, False]
    assert logits[1] == pytest.approx(0, abs=1e-5)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    path = tmp_path / "checkpoint.npz"
    for data in (b"", b"PK junk", b"\x80\x04."):
        path.write_bytes(data)
        with pytest.raises(ModelError, match="cannot be used"):
            state.load_average(path)
    np.savez(path, note=np.frombuffer(b"{}", np.uint8), x=np.zeros(3))
    with pytest.raises(ModelError, match="cannot be used"):
        state.load_average(path)


def test_a_network_with_other_layers_is_not_published():
    network = PlateNet()
    network.head[0] = torch.nn.Sequential(torch.nn.Sigmoid(), network.head[0])
    with pytest.raises(ModelError, match="Sigmoid"):
        publish.as_onnx(network)


def test_scenes_that_are_missing_are_one_line(tmp_path, capsys):
    words = ("--scenes", tmp_path / "no", "--valid", tmp_path / "no", "--out", tmp_path / "out")
    assert command(train, *words) == 1
    assert capsys.readouterr().err.count("\n") == 1
