"""What operators do with the API, on a running service."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.appliance.audit_verify import verify
from tests.appliance.box import Box
from tests.support import shared_file

pytest.importorskip("fastapi", reason="the API's packages are not installed: privaedge[api]")

from prometheus_client.parser import text_string_to_metric_families
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect


@pytest.fixture(autouse=True, scope="module")
def _on_air(box: Box) -> None:
    box.await_on_air()


def eventually(condition: Any, timeout_s: float = 30.0) -> Any:
    give_up = time.monotonic() + timeout_s
    while not (found := condition()):
        assert time.monotonic() < give_up
        time.sleep(0.1)
    return found


def recorded(box: Box, event: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def keep(record: Any) -> None:
        if record.event == event:
            found.append(dict(record.data))

    assert verify(box.state / "audit", on_record=keep).state in ("whole", "cut")
    return found


def test_the_status_tells_of_streams_lanes_and_outputs(box: Box) -> None:
    view = eventually(lambda: (s := box.status())["healthy"] and s)
    stream = view["streams"][0]
    assert (stream["name"], stream["state"]) == ("front", "on air")
    assert (stream["width"], stream["height"], stream["delay_s"]) == (640, 360, 1.0)
    lanes = {lane["name"]: lane for lane in stream["lanes"]}
    assert lanes["faces"]["on"]
    assert lanes["faces"]["lag_s"] < 10
    assert not lanes["speech"]["on"]
    assert stream["outputs"][0]["state"] in ("connecting", "connected")
    assert view["audit"]["working"]


def test_health_answers_are_for_monitors_and_for_orchestrators(box: Box) -> None:
    eventually(lambda: box.ask("GET", "/health").status == 200)
    for path in ("/health/live", "/health/ready"):
        answer = box.ask("GET", path)
        assert (answer.status, answer.json["status"]) == (200, "ok")


def test_a_setting_changes_without_a_gap_and_is_undone(box: Box) -> None:
    revision = box.status()["revision"]
    runs = box.stream()["restarts"]
    made = box.ask("PATCH", "/api/v1/config", {"streams": {"front": {"blur.type": "solid"}}})
    assert made.status == 200, made.body
    assert made.json == {
        "revision": revision + 1,
        "changes": [{"stream": "front", "key": "blur.type", "before": "mosaic", "after": "solid"}],
        "interrupts": [],
        "applied": True,
    }
    config = box.ask("GET", "/api/v1/config").json
    assert config["streams"]["front"]["settings"]["blur"]["type"] == "solid"
    assert config["streams"]["front"]["changed"]["blur.type"] == "solid"
    assert config["can_undo"] == revision + 1
    eventually(lambda: box.stream()["effect"] == "solid")
    again = box.ask("PATCH", "/api/v1/config", {"streams": {"front": {"blur.type": "solid"}}})
    assert again.json["changes"] == []
    assert again.json["revision"] == revision + 1
    undone = box.ask("POST", "/api/v1/config/undo")
    assert undone.status == 200, undone.body
    eventually(lambda: box.stream()["effect"] == "mosaic")
    newest = box.ask("GET", "/api/v1/config/history").json[0]
    assert newest["undoes"] == revision + 1
    assert newest["by"].startswith("token at 127.0.0.1")
    assert box.stream()["restarts"] == runs
    reset = box.ask("PATCH", "/api/v1/config", {"reset": {"front": ["blur.type"]}})
    assert reset.status == 200
    entries = recorded(box, "config")
    assert entries[-1]["changes"][0]["key"] == "blur.type"


def test_a_lane_goes_off_with_a_reason_only_and_that_is_recorded_first(box: Box) -> None:
    path = "/api/v1/filters/faces"
    assert "needs a reason" in box.ask("POST", path, {"on": False}).detail
    patch = {"streams": {"front": {"video.models.face.enabled": False}}}
    assert "needs a reason" in box.ask("PATCH", "/api/v1/config", patch).detail
    off = box.ask("POST", path, {"on": False, "reason": "nobody is here"})
    assert off.status == 200, off.body
    eventually(lambda: not box.stream()["lanes"][0]["on"])
    assert recorded(box, "config")[-1]["reason"] == "nobody is here"
    assert recorded(box, "config")[-1]["off"] == ["faces"]
    on = box.ask("POST", path, {"on": True})
    assert on.status == 200
    # Taking the second change back would switch it off again.
    assert "needs a reason" in box.ask("POST", "/api/v1/config/undo").detail
    eventually(lambda: box.stream()["lanes"][0]["on"])
    assert box.ask("POST", "/api/v1/filters/nothing", {"on": True}).status == 422
    assert box.ask("POST", path, {"on": True, "stream": "rear"}).status == 422


def test_what_cannot_be_loaded_changes_nothing(box: Box) -> None:
    revision = box.status()["revision"]
    patch = {"streams": {"front": {"video.models.face.model": ["centerface-2"]}}}
    answer = box.ask("PATCH", "/api/v1/config", patch)
    assert answer.status == 422
    assert "centerface-2" in answer.detail
    assert box.status()["revision"] == revision
    assert box.stream()["on_air"]
    kept = json.loads((box.state / "changes.json").read_text())
    assert kept["revision"] == revision


def test_events_are_followed_on_a_web_socket(box: Box) -> None:
    url = f"ws://{box.netloc}/api/v1/events"
    with connect(url, additional_headers=box.bearer) as socket:
        first = json.loads(socket.recv(5))
        assert first["type"] == "status"
        assert first["status"]["streams"][0]["name"] == "front"
        seen: list[str] = []
        box.ask("POST", "/api/v1/panic")
        give_up = time.monotonic() + 20
        while "panic" not in seen and time.monotonic() < give_up:
            message = json.loads(socket.recv(5))
            seen += [one["event"] for one in message.get("events", [])]
        box.ask("POST", "/api/v1/resume")
        assert "panic" in seen
        assert "on-air" in seen, "what happened before is told, too"
        socket.send("x" * 100)
    session, _ = box.login()
    with connect(url, additional_headers={"Cookie": session}, origin=f"http://{box.netloc}") as one:  # type: ignore[arg-type]
        assert json.loads(one.recv(5))["type"] == "status"
    refused: list[dict[str, Any]] = [
        {},
        {"additional_headers": {"Authorization": "Bearer x"}},
        {"additional_headers": {"Cookie": session}},  # no browser: those say where they are from
        {"additional_headers": {"Cookie": session}, "origin": "http://evil.example"},
        {"additional_headers": box.bearer, "origin": "null"},
    ]
    for options in refused:
        with pytest.raises(InvalidStatus), connect(url, **options):
            pass
    with pytest.raises(InvalidStatus), connect(f"{url}?token={box.token}"):
        pass


def test_prometheus_understands_the_metrics(box: Box) -> None:
    answer = box.ask("GET", "/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    families = {one.name: one for one in text_string_to_metric_families(answer.body.decode())}
    out = families["privaedge_frames_out"]
    assert out.type == "counter"
    assert out.samples[0].name == "privaedge_frames_out_total"
    assert out.samples[0].labels == {"stream": "front"}
    assert out.samples[0].value > 0
    for name in (
        "privaedge_frames_masked_by_lane",
        "privaedge_horizon_lag_seconds",
        "privaedge_output_frames_per_second",
        "privaedge_delay_seconds",
        "privaedge_delay_line_frames",
        "privaedge_source_connections",
        "privaedge_redactions",
        "privaedge_recogniser_failures",
        "process_resident_memory_bytes",
    ):
        assert name in families, name
        assert families[name].documentation


def test_the_dashboard_asks_for_metrics_that_there_are(box: Box) -> None:
    import re

    from tests.systemd.conftest import ROOT

    told = box.ask("GET", "/metrics").body.decode()
    board = json.loads((ROOT / "examples/grafana/privaedge.json").read_text())
    asked = {
        name
        for panel in board["panels"]
        for target in panel.get("targets", ())
        for name in re.findall(r"\b(?:privaedge|process)_[a-z0-9_]+", target["expr"])
    }
    assert len(asked) > 10
    optional = {"privaedge_temperature_celsius"}  # where the machine tells
    for name in asked - optional:
        assert re.search(rf"^# TYPE {name} ", told, re.M), name


def test_models_are_listed_with_who_uses_them(box: Box) -> None:
    models = {one["name"]: one for one in box.ask("GET", "/api/v1/models").json}
    assert {"yunet-n", "centerface"} <= set(models)
    assert models["centerface"]["state"] in ("missing", "ok", "wrong hash")


def test_an_upload_is_redacted_and_does_not_stay(box: Box, clip: Path) -> None:
    answer = box.ask("POST", "/api/v1/process?name=my%20clip.mp4", clip.read_bytes())
    assert answer.status == 202, answer.body
    job = answer.json
    assert job["name"] == "my clip.mp4"
    path = f"/api/v1/process/{job['id']}"

    def over() -> Any:
        view = box.ask("GET", path).json
        return view["state"] not in ("waiting", "running") and view

    assert box.ask("GET", f"{path}/result").status in (200, 409)
    done = eventually(over, 90)
    assert done["state"] == "done", done
    assert (done["progress"], done["frames"]) == (1.0, 75)
    result = box.ask("GET", f"{path}/result")
    assert result.headers["content-type"] == "video/mp4"
    assert result.headers["content-disposition"] == f'attachment; filename="{job["id"]}.mp4"'
    assert result.body[4:8] == b"ftyp"
    left = sorted(p.name for p in (box.state / "jobs" / job["id"]).iterdir())
    assert left == ["result.mp4"], "what was uploaded is gone"
    assert box.ask("DELETE", path).status == 204
    assert box.ask("GET", path).status == 404
    assert not (box.state / "jobs" / job["id"]).exists()


@pytest.mark.parametrize("content", ["playlist", "text", "short"])
def test_what_is_no_video_is_refused(box: Box, content: str) -> None:
    data = {
        "playlist": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n"
        b"#EXT-X-ENDLIST\n" + b"#" * 100,
        "text": b"nothing to see " * 100,
        "short": b"x",
    }[content]
    answer = box.ask("POST", "/api/v1/process", data)
    if content == "short":
        assert answer.status == 422
        return
    path = f"/api/v1/process/{answer.json['id']}"
    view = eventually(lambda: (v := box.ask("GET", path).json)["state"] == "refused" and v, 60)
    assert "no video that can be read" in view["detail"]
    assert str(box.state) not in view["detail"]
    box.ask("DELETE", path)


@pytest.fixture
def people(box: Box) -> Iterator[None]:
    yield
    box.ask("DELETE", "/api/v1/faces/Ann")


def test_people_are_enrolled_shot_by_shot(box: Box, people: None) -> None:
    photo = shared_file("media/people/obama.jpg").read_bytes()
    path = "/api/v1/faces/Ann"
    jpeg = {"Content-Type": "image/jpeg"}
    assert box.ask("POST", f"{path}/shots", photo, {"Content-Type": "text/html"}).status == 415
    first = box.ask("POST", f"{path}/shots", photo, jpeg, timeout_s=120)
    if first.status == 422 and "model" in first.detail:
        pytest.skip(f"no models: {first.detail}")
    assert first.json["accepted"], first.body
    assert (first.json["good"], first.json["wanted"]) == (1, 5)
    twice = box.ask("POST", f"{path}/shots", photo, jpeg).json
    assert not twice["accepted"]
    assert "says nothing that" in twice["problem"]
    assert box.ask("POST", f"{path}/shots", b"\xff\xd8\xff" + b"x" * 100, jpeg).status == 422
    few = box.ask("POST", path)
    assert few.status == 409
    assert "5 are needed" in few.detail
    assert box.ask("GET", "/api/v1/faces").json["people"] == []
    assert box.ask("DELETE", f"{path}/shots").status == 204
    assert box.ask("DELETE", path).status == 404
    assert "Ann" not in box.says()


def test_the_log_holds_nothing_private(box: Box) -> None:
    said = box.says()
    for private in (box.token, "nobody is here", "my clip"):
        assert private not in said
    assert "Traceback" not in said
    assert "api-error" not in said
