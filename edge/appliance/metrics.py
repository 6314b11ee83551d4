"""What a service counts, for Prometheus. Names and units follow its conventions.

Nothing is counted here: each scrape reads the newest status, and costs the streams nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from edge.appliance.desk import Desk
from edge.appliance.views import StatusView, StreamView

CONTENT_TYPE = CONTENT_TYPE_LATEST

_COUNTERS = (
    ("frames_in", "Frames that the source gave.", "frames_in"),
    ("frames_out", "Frames that left, redacted or masked.", "frames_out"),
    ("frames_redacted", "Frames that left with something in them hidden.", "frames_redacted"),
    ("frames_masked", "Frames that left masked whole.", "frames_masked"),
    ("frames_dropped", "Frames that were read and never left.", "frames_dropped"),
    ("slates", "Slates that left in place of a lost signal.", "slates"),
    ("source_connections", "Times that the source was connected to.", "connections"),
    ("stream_restarts", "Times that the stream was begun anew.", "restarts"),
    ("spoken_hidden_seconds", "Seconds of sound with private words hidden.", "spoken_s"),
    ("sound_muted_seconds", "Seconds of sound that left silent, unjudged.", "muted_s"),
)
_GAUGES = (
    ("output_frames_per_second", "Frames that leave per second, of late.", "fps"),
    ("delay_seconds", "How long every frame waits.", "delay_s"),
    ("delay_line_frames", "Frames that wait now.", "waiting_frames"),
)


def registry_of(desk: Desk) -> CollectorRegistry:
    """Return a registry that tells of one service, its process included."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    registry.register(ServiceCollector(desk))
    return registry


def scrape(registry: CollectorRegistry) -> bytes:
    """Return the metrics in Prometheus' text format."""
    return generate_latest(registry)


class ServiceCollector(Collector):
    """Turns a status into metrics."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def describe(self) -> Iterable[Metric]:
        """Return nothing: names are only known from a status."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics."""
        status = self._desk.status
        if status is None:
            return
        yield from _of_service(status)
        yield from _of_streams(status.streams)
        yield from _of_lanes(status.streams)
        yield from _of_outputs(status.streams)


def _of_service(status: StatusView) -> Iterator[Metric]:
    info = InfoMetricFamily("privaedge", "The service.")
    info.add_metric([], {"version": status.version})
    yield info
    flags = {
        "healthy": ("Whether frames move and all lanes judge in time.", status.healthy),
        "ready": ("Whether every stream has been on air or waits for its source.", status.ready),
        "panic": ("Whether everything leaves masked and mute.", status.panic.on),
        "audit_working": ("Whether what is done can be recorded.", status.audit.working),
    }
    for name, (text, value) in flags.items():
        yield GaugeMetricFamily(f"privaedge_{name}", text, value=float(value))
    yield CounterMetricFamily(
        "privaedge_audit_records", "Records of the audit.", value=status.audit.records
    )
    yield CounterMetricFamily(
        "privaedge_config_revisions", "Changes of settings through the API.", value=status.revision
    )
    temperatures = GaugeMetricFamily(
        "privaedge_temperature_celsius", "Temperatures that the machine tells.", labels=["sensor"]
    )
    for sensor, degrees in status.machine.temperatures_c.items():
        temperatures.add_metric([sensor], degrees)
    yield temperatures
    if status.machine.memory_free_bytes is not None:
        yield GaugeMetricFamily(
            "privaedge_machine_memory_available_bytes",
            "Memory that the machine could still give.",
            value=status.machine.memory_free_bytes,
        )
    if status.machine.load_1m is not None:
        yield GaugeMetricFamily(
            "privaedge_machine_load1", "Load of the last minute.", value=status.machine.load_1m
        )


def _of_streams(streams: Iterable[StreamView]) -> Iterator[Metric]:
    views = list(streams)
    for name, text, field in _COUNTERS:
        counter = CounterMetricFamily(f"privaedge_{name}", text, labels=["stream"])
        for view in views:
            counter.add_metric([view.name], getattr(view, field))
        yield counter
    for name, text, field in _GAUGES:
        gauge = GaugeMetricFamily(f"privaedge_{name}", text, labels=["stream"])
        for view in views:
            gauge.add_metric([view.name], getattr(view, field))
        yield gauge
    on_air = GaugeMetricFamily(
        "privaedge_stream_on_air", "Whether pictures of the source leave.", labels=["stream"]
    )
    healthy = GaugeMetricFamily(
        "privaedge_stream_healthy", "Whether nothing is wrong with it.", labels=["stream"]
    )
    for view in views:
        on_air.add_metric([view.name], float(view.on_air))
        healthy.add_metric([view.name], float(view.healthy))
    yield on_air
    yield healthy


def _of_lanes(streams: Iterable[StreamView]) -> Iterator[Metric]:
    labels = ["stream", "lane"]
    on = GaugeMetricFamily("privaedge_lane_on", "Whether it is switched on.", labels=labels)
    lag = GaugeMetricFamily(
        "privaedge_horizon_lag_seconds", "From the present back to its horizon.", labels=labels
    )
    masked = CounterMetricFamily(
        "privaedge_frames_masked_by_lane",
        "Frames that left masked, by the lane that was late or blind, or panic, or redaction.",
        labels=labels,
    )
    found = CounterMetricFamily(
        "privaedge_redactions", "Things that were hidden, by what found them.",
        labels=["stream", "kind"],
    )  # fmt: skip
    failures = CounterMetricFamily(
        "privaedge_recogniser_failures", "Times it threw, stalled or made no sense.", labels=labels
    )
    for view in streams:
        for cause, frames in view.masked_by.items():
            masked.add_metric([view.name, cause], frames)
        for lane in view.lanes:
            at = [view.name, lane.name]
            on.add_metric(at, float(lane.on))
            if lane.lag_s is not None:
                lag.add_metric(at, lane.lag_s)
            found.add_metric(at, lane.found)
            failures.add_metric(at, lane.failures)
    yield from (on, lag, masked, found, failures)


def _of_outputs(streams: Iterable[StreamView]) -> Iterator[Metric]:
    labels = ["stream", "output"]
    connected = GaugeMetricFamily(
        "privaedge_output_connected", "Whether it takes packets.", labels=labels
    )
    sent = CounterMetricFamily("privaedge_output_packets_sent", "Packets taken.", labels=labels)
    lost = CounterMetricFamily(
        "privaedge_output_packets_dropped", "Packets it never got.", labels=labels
    )
    connections = CounterMetricFamily(
        "privaedge_output_connections", "Times that it was connected to.", labels=labels
    )
    for view in streams:
        for number, output in enumerate(view.outputs):
            at = [view.name, str(number)]
            connected.add_metric(at, float(output.state == "connected"))
            sent.add_metric(at, output.sent)
            lost.add_metric(at, output.dropped)
            connections.add_metric(at, output.connections)
    yield from (connected, sent, lost, connections)
