"""What a stream of the service tells of itself, from what its run counts."""

from __future__ import annotations

import logging

import pytest

from edge.appliance import stream as module
from edge.appliance.board import Board
from edge.appliance.service_config import StreamSpec
from edge.appliance.stream import Plan, Stream, _Reporter
from edge.config import Settings
from edge.lane_models import LaneModels
from edge.media.address import Address
from edge.stats import RECOGNISER, Stats

SPEC = StreamSpec(
    "front", Address.parse("rtsp://127.0.0.1/a"), (Address.parse("udp://127.0.0.1:9"),), Settings()
)


def test_a_recogniser_that_fails_is_told_of_until_it_works_again(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    stream, stats = Stream(Plan(SPEC, LaneModels())), Stats()
    reporter = _Reporter(SPEC, stream)

    def send(frames: int) -> None:
        nonlocal now
        for _ in range(frames):
            now += 1 / 30
            stats.frames_out += 1
            reporter.sent(stats)

    with caplog.at_level(logging.INFO):
        send(30)
        assert not stream.recogniser_fails
        for _ in range(5):
            stats.count_failure(RECOGNISER)
            send(8)
        assert stream.recogniser_fails
        assert stream.state == "on air", "frames leave, with everybody hidden"
        [view] = Board().look([stream])
        assert any("recogniser" in problem for problem in view.problems)
        assert not view.healthy
        send(330)
        assert not stream.recogniser_fails
    events = [record.event_name for record in caplog.records if hasattr(record, "event_name")]
    assert events.count("recogniser-fails") == events.count("recogniser-works") == 1
    totals = stream.totals.plus(stats)
    assert totals.failures[RECOGNISER] == 5
