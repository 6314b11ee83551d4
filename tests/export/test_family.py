"""The words of the exporter: axes, ports, sources, tallies, errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ModelError
from export.family import Axis, Port, Source, Tally, largest_error
from export.registry import FAMILIES, family, family_of, missing_modules, random_sources

WIDTH = Axis("width", 32, 96, 640)


def test_a_port_gives_concrete_shapes():
    port = Port("x", (1, 3, Axis("height", 32, 64, 320), WIDTH))
    assert port.sides("least") == (1, 3, 32, 32)
    assert port.sides("usual") == (1, 3, 64, 96)
    assert port.sides("most") == (1, 3, 320, 640)


@pytest.mark.parametrize("sides", [(2, 1, 3), (1, 4, 3), (-1, 1, 1)])
def test_an_axis_out_of_order_is_refused(sides):
    with pytest.raises(ValueError, match="no order"):
        Axis("n", *sides)


def test_a_source_is_known_by_its_bytes(tmp_path):
    one, two = tmp_path / "one.onnx", tmp_path / "two.onnx"
    one.write_bytes(b"weights")
    two.write_bytes(b"weights")
    assert Source("a", one, "user").sha256 == Source("b", two, "user").sha256
    two.write_bytes(b"others")
    assert Source("a", one, "user").sha256 != Source("a", two, "user").sha256


def test_a_folder_is_known_by_its_files_and_their_names(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    a, b = (Source("x", tmp_path / name, "user").sha256 for name in ("a", "b"))
    assert a == b
    (tmp_path / "b" / "config.json").rename(tmp_path / "b" / "other.json")
    assert Source("x", tmp_path / "b", "user").sha256 != a


def test_random_weights_are_known_by_what_they_are():
    one = Source("net", None, "random", family="f", options={"variant": "s"})
    assert one.sha256 == Source("net", None, "random", family="f", options={"variant": "s"}).sha256
    assert one.sha256 != Source("net", None, "random", family="f", options={"variant": "m"}).sha256


tallies = st.integers(0, 50).flatmap(
    lambda of: st.integers(0, of).map(lambda right: Tally(right, of))
)


@given(st.lists(tallies))
def test_tallies_add_up(several):
    total = sum(several, Tally(0, 0))
    assert total.of == sum(one.of for one in several)
    assert 0 <= total.share <= 1
    assert (total.share == 1) == (total.right == total.of)


def test_the_error_is_relative_to_the_largest_value_of_an_output_over_all_inputs():
    wanted = [{"y": np.array([0.0, 10.0])}, {"y": np.array([0.0, 1e-9])}]
    got = [{"y": np.array([0.1, 10.0])}, {"y": np.array([1e-9, 0.0])}]
    assert largest_error(wanted, got) == pytest.approx(0.01)


@given(st.floats(1e-3, 1e3), st.floats(0, 0.1))
def test_the_error_does_not_depend_on_the_unit(unit, apart):
    before = {"y": np.array([1.0, -2.0]) * unit}
    after = {"y": np.array([1.0, -2.0 + apart]) * unit}
    assert largest_error([before], [after]) == pytest.approx(apart / 2, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(
    "other",
    [{"z": np.zeros(2)}, {"y": np.zeros(3)}, {"y": np.array([0, np.nan])}, {}],
    ids=["name", "shape", "NaN", "missing"],
)
def test_what_cannot_be_compared_is_infinitely_wrong(other):
    assert math.isinf(largest_error([{"y": np.ones(2)}], [other]))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_says_who_it_is(name):
    one = family(name)
    assert one.name == name
    assert isinstance(missing_modules(one), list)
    assert not one.can_load(Source("nothing", None, "user"))


def test_no_two_architectures_have_one_name():
    names = [source.name for source in random_sources()]
    assert len(set(names)) == len(names)


def test_an_unknown_family_is_told_with_those_there_are(tmp_path):
    with pytest.raises(ModelError, match="Known are centerface"):
        family("resnet")
    path = tmp_path / "x.txt"
    path.write_text("no model")
    with pytest.raises(ModelError, match="of no family that is known"):
        family_of(Source("x", path, "user"))
    with pytest.raises(ModelError, match="x is no yunet model"):
        family_of(Source("x", path, "user", family="yunet"))
