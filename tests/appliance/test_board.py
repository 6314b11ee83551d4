"""What operators are shown: rates from counters, and true health."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edge.appliance import board as boards
from edge.appliance.board import Board, lanes_of
from edge.appliance.journal import event
from edge.appliance.machine import look, temperatures
from edge.appliance.news import News
from edge.appliance.outgoing import FPS, Outgoing
from edge.appliance.service_config import StreamSpec
from edge.appliance.stream import Plan, Stream
from edge.appliance.totals import Totals, less
from edge.config_io import load_config
from edge.lane_models import LaneModels
from edge.media.address import Address
from edge.stats import Stats
from tests.harness import film


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(boards.time, "monotonic", clock)
    return clock


def a_stream() -> tuple[Stream, Stats]:
    """A stream that was never started, and what its run would count."""
    spec = StreamSpec(
        "front",
        Address.parse("rtsp://anna:s3cret@192.0.2.7/a"),
        (Address.parse("rtmp://192.0.2.8/live/k3y"),),
        load_config(None, None, ["audio.enabled=false", "video.models.text.enabled=false",
                                 "delay.seconds=2"]),
    )  # fmt: skip
    stream = Stream(Plan(spec, LaneModels()))
    stats = Stats()
    stream._run = SimpleNamespace(stats=stats, info=None, sink=None)  # type: ignore[assignment]
    stream.state = "on air"
    return stream, stats


def send(board: Board, clock: Clock, stream: Stream, stats: Stats, seconds: float) -> Any:
    """Let 30 frames a second leave, and look twice a second."""
    for _ in range(round(seconds * 2)):
        clock.now += 0.5
        stats.frames_out += 15
        (view,) = board.look([stream])
    return view


def test_a_stream_that_flows_is_healthy_and_has_its_rate(clock: Clock) -> None:
    board, (stream, stats) = Board(), a_stream()
    stats.lags = {"faces": 1.2}
    view = send(board, clock, stream, stats, 20)
    assert view.healthy, view.problems
    assert view.fps == pytest.approx(30)
    assert view.lanes[0].lag_s == 1.2
    stats.found = {"faces": 12}
    view = send(board, clock, stream, stats, 30)
    assert (view.lanes[0].found, view.lanes[0].found_per_minute) == (12, 12)
    view = send(board, clock, stream, stats, 90)
    assert (view.lanes[0].found, view.lanes[0].found_per_minute) == (12, 0)
    assert "s3cret" not in view.model_dump_json()
    assert "k3y" not in view.model_dump_json()


def test_frames_that_do_not_move_are_a_problem(clock: Clock) -> None:
    board, (stream, stats) = Board(), a_stream()
    send(board, clock, stream, stats, 20)
    clock.now += 6
    (view,) = board.look([stream])
    assert view.problems == ("no frames leave",)
    assert send(board, clock, stream, stats, 1).healthy


def test_slates_move_but_a_lost_signal_is_a_problem(clock: Clock) -> None:
    board, (stream, stats) = Board(), a_stream()
    send(board, clock, stream, stats, 20)
    stream.state = "no signal"
    for _ in range(40):
        clock.now += 0.5
        stats.slates += 15
        (view,) = board.look([stream])
    assert view.problems == ("no signal",)
    assert not view.on_air


def test_a_lane_that_stays_behind_is_a_problem_and_a_moment_is_none(clock: Clock) -> None:
    board, (stream, stats) = Board(), a_stream()
    stats.lags = {"faces": 1.0, "plates": 1.0}
    assert send(board, clock, stream, stats, 20).healthy
    stats.lags = {"faces": 2.5, "plates": 1.0}
    view = send(board, clock, stream, stats, 2)
    assert view.healthy
    assert view.lanes[0].state in ("late", "missing")
    view = send(board, clock, stream, stats, 4)
    assert view.problems == ("the faces lane does not judge in time",)
    stats.lags = {"faces": 1.0, "plates": 1.0}
    assert send(board, clock, stream, stats, 1).healthy


def test_a_frozen_stream_is_told_at_once(clock: Clock) -> None:
    board, (stream, stats) = Board(), a_stream()
    send(board, clock, stream, stats, 5)
    (view,) = board.look([stream], ["front"])
    assert view.state == "frozen"
    assert not view.healthy


def test_counters_go_on_over_restarts() -> None:
    first = Stats(frames_out=10, found={"faces": 3}, masked_by={"faces": 2})
    second = Stats(frames_out=5, found={"faces": 1, "text": 4})
    totals = Totals().plus(first).plus(second)
    assert totals.frames_out == 15
    assert totals.found == {"faces": 4, "text": 4}
    assert less(totals.found, Totals().plus(first).found) == {"faces": 1, "text": 4}


def test_every_lane_is_known_by_its_switch() -> None:
    settings = load_config(None, None, ["video.models.plate.enabled=false", "audio.enabled=false"])
    assert lanes_of(settings) == {"faces": True, "plates": False, "text": True, "speech": False}


def test_temperatures_are_read_where_there_are_any(tmp_path: Path) -> None:
    assert temperatures(tmp_path, tmp_path) == {}
    for number, (kind, value) in enumerate((("cpu-thermal", "48500"), ("gpu-thermal", "x"),
                                            ("soc", "-300000"), ("", "1000"))):  # fmt: skip
        zone = tmp_path / f"thermal_zone{number}"
        zone.mkdir()
        (zone / "type").write_text(kind)
        (zone / "temp").write_text(value)
    assert temperatures(tmp_path, tmp_path) == {"cpu-thermal": 48.5}
    sensors = tmp_path / "sensors"
    (sensors / "hwmon0").mkdir(parents=True)
    for name, text in (("name", "k10temp"), ("temp1_input", "61000"), ("temp1_label", "Tctl")):
        (sensors / "hwmon0" / name).write_text(text)
    assert temperatures(tmp_path / "none", sensors) == {"k10temp Tctl": 61.0}
    view = look()
    assert view.cores >= 1
    assert view.memory_bytes is not None


def test_news_are_the_log_s_events_without_secrets_and_bounded() -> None:
    news = News(lambda text: text.replace("k3y", "***"))
    log = logging.getLogger("edge.appliance.test_news")
    log.addHandler(news)
    log.setLevel(logging.INFO)
    try:
        event(log, logging.WARNING, "masked", stream="front", because="rtmp://h/k3y", empty=None)
        event(log, logging.INFO, "figures", stream="front", frames=1)
        log.warning("not an event: k3y")
        (item,) = news.since(0)
        assert (item.event, item.level, item.stream) == ("masked", "warning", "front")
        assert item.details == {"event": "masked"} | {"because": "rtmp://h/***"} or (
            item.details == {"because": "rtmp://h/***"}
        )
        for number in range(1000):
            event(log, logging.INFO, "many", n=number, text="x" * 5000)
        kept = news.since(0)
        assert len(kept) == 200
        assert max(len(value) for one in kept for value in one.details.values()) <= 300
        assert news.since(kept[-1].number) == []
    finally:
        log.removeHandler(news)


def test_the_preview_costs_nothing_unless_watched_and_never_fails(tmp_path: Path) -> None:
    from edge.frame import Frame
    from edge.media.source import FileSource

    outgoing = Outgoing()
    with FileSource(film(tmp_path / "a.mp4", frames=3)) as source:
        frame = next(one for one in source.read() if isinstance(one, Frame))
    outgoing.take(frame.picture, 1.0)
    assert outgoing.newest is None
    with outgoing.watched():
        outgoing.take(frame.picture, 1.0)
        seen = outgoing.newest
        assert seen is not None
        assert seen.rgb.shape == (3, 360, 640)
        outgoing.take(frame.picture, 1.01)
        assert outgoing.newest is seen, "not more often than FPS"
        time.sleep(1.1 / FPS)
        outgoing.take(frame.picture, 2.0)
        assert outgoing.newest is not seen
        before = seen.rgb.copy()
        frame.picture.edit().y[:] = 0
        assert np.array_equal(seen.rgb, before), "it is a copy"
        time.sleep(1.1 / FPS)
        outgoing.take(SimpleNamespace(width=0, height=0), 3.0)  # type: ignore[arg-type]
    assert outgoing.newest is None
