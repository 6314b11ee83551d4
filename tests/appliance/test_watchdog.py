from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.appliance.watchdog import PINGS_PER_PERIOD, Notifier, Pulse, Watchdog
from tests.appliance.manager import Manager


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Ear(Notifier):
    """Counts pings instead of sending them."""

    def __init__(self, watchdog_s: float | None = 8.0) -> None:
        super().__init__(None, watchdog_s)
        self.pings = 0

    def ping(self) -> None:
        self.pings += 1


def test_messages_arrive_as_systemd_reads_them(tmp_path: Path) -> None:
    with Manager(tmp_path / "notify") as manager:
        notifier = Notifier.from_environment(manager.environment(3.0))
        assert notifier.watchdog_s == 3.0
        notifier.status("front: on air\nREADY=1")
        notifier.reloading()
        notifier.extend(1.5)
        notifier.ready()
        notifier.ping()
        notifier.stopping()
        notifier.close()
        for line in ("EXTEND_TIMEOUT_USEC=1500000", "READY=1", "WATCHDOG=1", "STOPPING=1"):
            manager.wait(line, 5)
        assert manager.status == "front: on air READY=1", "a status must not forge a state"
        assert len(manager.times("READY=1")) == 1
        assert len(manager.times("RELOADING=1")) == 1


def test_an_abstract_socket_is_reached() -> None:
    import socket

    name = f"privaedge-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(f"\0{name}")
        ear.settimeout(5)
        notifier = Notifier(f"@{name}")
        notifier.ready()
        assert ear.recv(100) == b"READY=1"
        notifier.close()


@pytest.mark.parametrize("address", [None, "", "relative", "/nobody/is/here"])
def test_nobody_there_is_no_error(address: str | None) -> None:
    notifier = Notifier(address)
    notifier.ready()
    notifier.status("x")
    notifier.close()
    notifier.ping()


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "5000000"}, 5.0),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "5000000", "WATCHDOG_PID": str(os.getpid())}, 5.0),
    ],
)
def test_the_watchdog_is_this_process_s(environ: dict[str, str], seconds: float | None) -> None:
    assert Notifier.from_environment(environ).watchdog_s == seconds


def test_one_stream_that_stands_still_silences_it() -> None:
    clock, ear = Clock(), Ear()
    pulses = {"front": Pulse(clock), "yard": Pulse(clock)}
    for pulse in pulses.values():
        pulse.expect(2.0)
    dog = Watchdog(ear, lambda: pulses, clock)
    for _ in range(100):
        clock.now += 0.5
        for pulse in pulses.values():
            pulse.beat()
        assert not dog.tick()
    assert ear.pings == 25
    for _ in range(20):
        clock.now += 0.5
        pulses["front"].beat()
        dog.tick()
    assert dog.tick() == ["yard"]
    assert ear.pings == 26, "time alone fed it"
    pulses["yard"].beat()
    assert not dog.tick()
    assert ear.pings == 27


def test_what_rests_or_has_not_begun_is_not_waited_for() -> None:
    clock = Clock()
    pulse = Pulse(clock)
    pulse.beat()
    clock.now += 1000
    assert not pulse.silent
    pulse.expect(1.0)
    clock.now += 1.1
    assert pulse.silent
    pulse.rest()
    assert not pulse.silent


def test_without_a_watchdog_the_frozen_are_still_named() -> None:
    clock, ear = Clock(), Ear(None)
    pulse = Pulse(clock)
    pulse.expect(1.0)
    dog = Watchdog(ear, lambda: {"front": pulse}, clock)
    clock.now += 2
    assert dog.tick() == ["front"]
    assert ear.pings == 0


@given(st.lists(st.tuples(st.floats(0.01, 3.0), st.booleans()), max_size=200))
def test_no_ping_without_progress_and_no_gap_with_it(steps: list[tuple[float, bool]]) -> None:
    clock, ear = Clock(), Ear(8.0)
    pulse = Pulse(clock)
    pulse.expect(2.0)
    dog = Watchdog(ear, lambda: {"front": pulse}, clock)
    beat_at, pinged_at, good_since = clock.now, clock.now, clock.now
    for pause, progress in steps:
        clock.now += pause
        if progress:
            pulse.beat()
            beat_at = clock.now
        before = ear.pings
        dog.tick()
        if clock.now - beat_at > 2.0:
            good_since = clock.now
            assert ear.pings == before
        if ear.pings > before:
            pinged_at = clock.now
        assert clock.now - max(pinged_at, good_since) < 8.0 / PINGS_PER_PERIOD + 3.0
