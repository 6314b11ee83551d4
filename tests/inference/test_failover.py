"""A GPU that fails under a detector: what it was asked about stays unjudged, then it is set up
again, or the CPU takes over."""

from __future__ import annotations

import ctypes
import logging
import shutil
import threading
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.detection import Detections
from edge.errors import InferenceError, ModelError
from edge.face_model import FaceModel
from edge.frame import Picture
from edge.inference.bound import CudaMemory
from edge.inference.budget import MAX_FAILURES, WINDOW, FailureBudget
from edge.inference.cuda import Cuda
from edge.inference.failover import FailoverEngine
from edge.inference.news import heard_by, tell
from edge.inference.onnx import OnnxEngine
from edge.inference.onnx_cuda import OnnxCudaEngine
from edge.lane_models import LaneModels
from edge.lanes.yunet import YuNet
from edge.runner import Run
from edge.stats import ENGINE
from tests.harness import Seen, settings_with
from tests.inference.test_onnx import reciprocal
from tests.redact.emulator import shipped
from tests.support import shared_file

X = np.array([1, 2, 4], np.float32)
WANTED = [1, 0.5, 0.25]


class Driver:
    """A GPU on the CPU that faults can be planted in, and engines over it."""

    def __init__(self, folder, data: bytes = b"", name: str = "reciprocal") -> None:
        self.library = str(shutil.copy(shipped(), folder / "libcuda_for_engines.so"))
        self.api = ctypes.CDLL(self.library)
        self._data, self._name = data or reciprocal(), name
        self.made = 0

    def on_gpu(self) -> OnnxCudaEngine:
        self.made += 1
        memory = CudaMemory(Cuda(self.library), device_type="cpu")
        return OnnxCudaEngine(self._data, self._name, memory=memory)

    def on_cpu(self) -> OnnxEngine:
        return OnnxEngine(self._data, self._name)

    def engine(self) -> FailoverEngine:
        return FailoverEngine(self.on_gpu, self.on_cpu)

    def fill_memory(self) -> None:
        self.api.limit_memory(ctypes.c_longlong(0))

    def empty_memory(self) -> None:
        self.api.limit_memory(ctypes.c_longlong(-1))


@pytest.fixture
def driver(tmp_path) -> Driver:
    return Driver(tmp_path)


def works(engine: FailoverEngine, times: int = 1) -> None:
    for _ in range(times):
        assert engine.run({"x": X})["inverse"].tolist() == WANTED


def fails(engine: FailoverEngine) -> None:
    with pytest.raises(InferenceError):
        engine.run({"x": X})


# --- counting ---------------------------------------------------------------------------------


@given(st.lists(st.booleans(), max_size=2 * WINDOW), st.integers(1, 4), st.integers(1, 12))
def test_a_budget_is_spent_by_failures_within_a_window(runs, most, window):
    budget = FailureBudget(most, window)
    for at, failed in enumerate(runs):
        if failed:
            budget.failed()
        else:
            budget.worked()
        recent = runs[max(0, at + 1 - window) : at + 1]
        assert budget.spent == (sum(recent) >= most)
    assert budget.failures == sum(runs)


def test_three_in_a_row_are_too_many_and_so_is_every_other():
    for good_ones, spent in (
        (0, True),
        (1, True),
        (WINDOW // 2 - 2, True),
        (WINDOW // 2 - 1, False),
    ):
        budget = FailureBudget()
        for turn in range(MAX_FAILURES):
            assert not budget.spent
            for _ in range(good_ones if turn else 0):
                budget.worked()
            budget.failed()
        assert budget.spent == spent


# --- one engine -------------------------------------------------------------------------------


def test_a_gpu_that_works_is_used(driver):
    engine = driver.engine()
    works(engine, 5)
    assert (driver.made, engine.failures, engine.on_cpu) == (1, 0, False)
    assert engine.inputs == ("x",)
    assert engine.outputs == ("same", "inverse")
    engine.close()
    assert driver.api.count_live() == 0


def test_one_that_cannot_be_made_is_told_of_at_once(tmp_path):
    with pytest.raises(ModelError, match="cannot be loaded"):
        Driver(tmp_path, b"no model").engine()


def test_short_memory_is_over_once_there_is_room_again(driver, caplog):
    engine = driver.engine()
    driver.fill_memory()
    with caplog.at_level(logging.WARNING):
        fails(engine)
    (record,) = caplog.records
    line, _, cause = record.getMessage().partition(": ")
    assert line == "reciprocal failed on the GPU, it is set up again"
    assert "failed with error 2" in cause
    driver.empty_memory()
    works(engine, 3)
    assert (driver.made, engine.failures, engine.on_cpu) == (2, 1, False)


def test_a_lost_device_comes_back_where_nobody_else_holds_it(driver):
    engine = driver.engine()
    works(engine, 2)
    driver.api.lose_device()
    fails(engine)
    works(engine, 3)
    assert (driver.made, engine.failures, engine.on_cpu) == (2, 1, False)


def test_a_device_that_stays_lost_is_given_up_for_the_cpu(driver, caplog):
    other = Cuda(driver.library)
    engine = driver.engine()
    works(engine, 2)
    driver.api.lose_device()
    told: list[str] = []
    with caplog.at_level(logging.WARNING), heard_by(told.append):
        for _ in range(MAX_FAILURES):
            assert not engine.on_cpu
            fails(engine)
        assert engine.on_cpu
        works(engine, 5)
    again = "reciprocal failed on the GPU, it is set up again"
    assert told == [again, again, "reciprocal failed 3 times on the GPU, the CPU takes over"]
    assert [record.getMessage().split(": ")[0] for record in caplog.records] == told
    assert not any("\n" in record.getMessage() for record in caplog.records)
    made = driver.made
    works(engine, 5)
    assert driver.made == made, "the GPU is asked again"
    del other


def test_a_gpu_that_fails_every_other_time_is_given_up(driver):
    engine = driver.engine()
    for _ in range(MAX_FAILURES):
        assert not engine.on_cpu
        works(engine)
        driver.api.lose_device()
        fails(engine)
    assert engine.on_cpu
    assert engine.failures == MAX_FAILURES


def test_a_failure_now_and_then_is_forgiven(driver):
    engine = driver.engine()
    for _ in range(MAX_FAILURES + 2):
        driver.api.lose_device()
        fails(engine)
        works(engine, WINDOW // (MAX_FAILURES - 1))
    assert not engine.on_cpu
    assert engine.failures == MAX_FAILURES + 2


def test_nonsense_counts_like_a_fault(driver):
    """Half precision that overflows on a picture does so each time."""
    engine = driver.engine()
    for _ in range(MAX_FAILURES):
        with pytest.raises(InferenceError, match="gave NaN or infinity"):
            engine.run({"x": np.zeros(3, np.float32)})
    assert engine.on_cpu
    works(engine)
    with pytest.raises(InferenceError, match="gave NaN or infinity"):
        engine.run({"x": np.zeros(3, np.float32)})


def test_what_cannot_be_set_up_again_is_an_inference_error():
    """A model that is refused by then, or whatever an engine's library raises."""
    makes = iter([OnnxEngine(reciprocal(), "net"), ModelError("gone. Fetch it."), OSError("odd")])

    def on_gpu():
        one = next(makes)
        if isinstance(one, Exception):
            raise one
        return one

    def on_cpu():
        raise ModelError("no CPU either. Buy one.")

    engine = FailoverEngine(on_gpu, on_cpu)
    with pytest.raises(InferenceError):
        engine.run({"x": np.zeros(3, np.float32)})
    with pytest.raises(InferenceError, match=r"model net failed: gone\. Fetch it\."):
        engine.run({"x": X})
    with pytest.raises(InferenceError, match="model net failed: odd"):
        engine.run({"x": X})
    for _ in range(2):
        with pytest.raises(InferenceError, match="model net failed: no CPU either"):
            engine.run({"x": X})


def test_news_reach_who_listens_in_this_thread_only():
    told: list[str] = []
    tell("to nobody")
    with heard_by(told.append):
        tell("one")
        thread = threading.Thread(target=tell, args=("another thread's",))
        thread.start()
        thread.join()
    tell("to nobody any more")
    assert told == ["one"]


# --- a film -----------------------------------------------------------------------------------


class Faulty:
    """YuNet over a GPU that is lost at some looks."""

    def __init__(self, driver: Driver, lost: Callable[[int], bool]) -> None:
        self.engine = driver.engine()
        self._eye = YuNet(self.engine, input_size=320, weakest=0.15)
        self._api, self._lost, self.looks = driver.api, lost, list[int]()

    def infer(self, frame_id: int, image: Picture) -> tuple[int, Detections]:
        self.looks.append(frame_id)
        if self._lost(len(self.looks) - 1) and not self.engine.on_cpu:
            self._api.lose_device()
        return self._eye.infer(frame_id, image)


@pytest.mark.parametrize(
    ("lost", "failures"),
    [(lambda look: look == 3, 1), (lambda look: look % 2 == 1, 3), (lambda look: look > 1, 3)],
    ids=["once", "every other look", "for good"],
)
def test_a_film_is_masked_where_the_gpu_fails_and_judged_everywhere_else(
    clip, tmp_path, lost, failures
):
    data = shared_file("models/face_yunet_n.onnx").read_bytes()
    driver = Driver(tmp_path, data, "yunet-n")
    detector = Faulty(driver, lost)
    models = LaneModels(face=FaceModel("yunet-n", "yunet", 0.3, lambda: detector))
    out = tmp_path / "out.mp4"
    stats = Run(settings_with(), clip, out, models).execute().stats
    seen = Seen.between(clip, out)
    assert seen.faces == set()
    looks = detector.looks
    failed = [frame for n, frame in enumerate(looks) if lost(n)][:failures]
    unjudged = set()
    for n, frame in enumerate(looks):
        if frame in failed:
            after = looks[n + 1] if n + 1 < len(looks) else frame + 1
            unjudged |= set(range(looks[n - 1] + 1, after))
    assert seen.masked == unjudged
    assert detector.engine.on_cpu == (failures == MAX_FAILURES)
    assert stats.failures[ENGINE] == detector.engine.failures == failures
    took_over = "engine: yunet-n failed 3 times on the GPU, the CPU takes over"
    assert (took_over in stats.reasons) == (failures == MAX_FAILURES)
    detector.engine.close()
    assert driver.api.count_live() == 0
