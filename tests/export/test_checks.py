"""Comparing: what counts as the same model, and when a lower precision is not good enough."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InferenceError, ModelError
from export.checks import MOST_FALL, Compared, compare, insist_equal, references
from export.family import Part, Port, Sample, Tally


class Signs(Part):
    """Doubles its input; the task is to tell signs, which are labelled for half of the samples."""

    name = ""
    opset = 17
    inputs = (Port("x", (4,)),)

    def to_onnx(self, out):
        raise AssertionError("not here")

    def samples(self, material, count):
        rng = np.random.default_rng(0)
        values = [rng.normal(0, 1, 4).astype(np.float32) for _ in range(count)]
        return [Sample({"x": v}, np.sign(v) if i % 2 else None) for i, v in enumerate(values)]

    def reference(self, feeds):
        return {"y": feeds["x"] * 2}

    def agreement(self, wanted, got, sample):
        return Tally(int((np.sign(wanted["y"]) == np.sign(got["y"])).sum()), 4)

    def correct(self, outputs, sample):
        if sample.truth is None:
            return None
        return Tally(int((np.sign(outputs["y"]) == sample.truth).sum()), 4)


PART = Signs()
SAMPLES = PART.samples(None, 20)
WANTED = references(PART, SAMPLES)


def run_with(change):
    return compare(PART, SAMPLES, WANTED, lambda feeds: {"y": change(feeds["x"] * 2)})


def test_the_same_model_is_the_same():
    same = run_with(lambda y: y)
    assert (same.error, same.agreement, same.accuracy, same.accuracy_before) == (0, 1, 1, 1)
    assert same.fall == 0
    insist_equal(same, PART, "signs")


@given(st.floats(-5e-4, 5e-4))
def test_rounding_is_no_other_model(apart):
    insist_equal(run_with(lambda y: y * np.float32(1 + apart)), PART, "signs")


def test_numbers_that_differ_are_another_model_though_answers_agree():
    with pytest.raises(ModelError, match=r"error 0\.01 .*100\.0 % of answers the same, on 20"):
        insist_equal(run_with(lambda y: y * np.float32(1.01)), PART, "signs")


def test_answers_that_differ_are_another_model_though_numbers_are_close():
    def nudge(y):
        smallest = np.abs(y).argmin()
        return np.where(np.arange(4) == smallest, -y, y) if np.abs(y).min() < 1e-2 else y

    compared = run_with(nudge)
    assert compared.agreement < 1
    with pytest.raises(ModelError, match="is not the model it was made from"):
        insist_equal(compared, PART, "signs")


def test_an_input_that_fails_has_no_right_answer():
    calls = iter(range(100))

    def fail(feeds):
        if next(calls) == 1:
            raise InferenceError("NaN")
        return {"y": feeds["x"] * 2}

    compared = compare(PART, SAMPLES, WANTED, fail)
    assert math.isinf(compared.error)
    assert compared.accuracy == pytest.approx(0.9)
    assert compared.fall == pytest.approx(0.1)


def test_an_output_that_is_gone_fails():
    assert compare(PART, SAMPLES, WANTED, lambda feeds: {}).agreement == 0


def test_labels_decide_where_there_are_any():
    """A lower precision may find other things, as long as it finds what is there."""
    compared = Compared(9, 0.3, 0.90, 0.950, 0.955, 1.0)
    assert compared.fall == pytest.approx(0.005)
    assert compared.fall <= MOST_FALL
    assert Compared(9, 0.3, 0.90, None, None, 1.0).fall == pytest.approx(0.1)
    # Who finds nothing of what is labelled has nothing there to lose.
    assert Compared(9, 0.3, 0.90, 0.0, 0.0, 1.0).fall == pytest.approx(0.1)


def test_a_check_states_what_was_compared():
    check = run_with(lambda y: y).check("a framework", 1e-3)
    assert (check.against, check.inputs, check.tolerance) == ("a framework", 20, 1e-3)
