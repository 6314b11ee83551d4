"""Whoever is enrolled or removed while the service runs counts from then on."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from edge.appliance import service
from edge.appliance.service import _Preparation, people_stamp
from edge.appliance.service_config import ServiceConfig, StreamSpec
from edge.appliance.stream import Plan
from edge.config import Settings
from edge.config_io import load_config
from edge.lane_models import LaneModels
from edge.media.address import Address
from edge.people_store import PeopleStore


@pytest.fixture
def people(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of enrolled people."""
    monkeypatch.setenv("PRIVAEDGE_PEOPLE", str(tmp_path))
    return PeopleStore().path


def spec(*overrides: str) -> StreamSpec:
    source, output = Address.parse("rtsp://127.0.0.1/a"), Address.parse("rtmp://127.0.0.1/live/b")
    return StreamSpec("front", source, (output,), load_config(None, None, overrides))


SHOWN = "video.whitelist.enabled=true"


def prepared(running: Mapping[str, Plan], wanted: StreamSpec) -> Plan:
    config = ServiceConfig({"front": wanted}, frozenset(), frozenset())
    preparation = _Preparation(lambda: config, running, lambda: None)
    for thread in threading.enumerate():
        if thread.name == "preparation":
            thread.join(10)
    assert preparation.error is None
    assert preparation.result is not None
    return preparation.result.plans["front"]


def test_the_stamp_changes_with_the_file_and_only_matters_where_faces_may_stay(people: Path):
    shown = spec(SHOWN).settings
    assert people_stamp(Settings()) is None
    assert people_stamp(shown) == ()
    people.write_bytes(b"x")
    first = people_stamp(shown)
    assert first
    people.write_bytes(b"xy")
    assert people_stamp(shown) not in (first, (), None)


def test_people_who_were_enrolled_or_removed_are_loaded_anew(
    people: Path, monkeypatch: pytest.MonkeyPatch
):
    loaded: list[LaneModels] = []

    def load(*_: object, may_be_deaf: bool) -> LaneModels:
        assert may_be_deaf
        loaded.append(LaneModels())
        return loaded[-1]

    monkeypatch.setattr(service, "load_lane_models", load)
    wanted = spec(SHOWN)
    first = prepared({}, wanted)
    assert prepared({"front": first}, wanted) is first
    assert len(loaded) == 1
    people.write_bytes(b"somebody")
    second = prepared({"front": first}, wanted)
    assert len(loaded) == 2
    assert second.models is loaded[1]
    assert second != first
    assert second.follows(first), "a stream need not be interrupted for it"
    people.unlink()
    third = prepared({"front": second}, wanted)
    assert third.people == ()
    # Other settings, the same people: the models stay.
    other = prepared({"front": third}, spec(SHOWN, "blur.type=solid"))
    assert other.models is third.models
    assert len(loaded) == 3
