"""What needs a browser of its own: a camera that shows somebody, and a page of somebody else."""

from __future__ import annotations

import http.server
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.appliance.box import Box
from tests.appliance.test_page import BY_JPEG, CHROMIUM, PHONE, TIMEOUT_MS, log_in, shot, sync_api
from tests.support import SHARED, shared_file

pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (.ci/packages.sh)"),
    pytest.mark.timeout(180),
]

PHOTO = SHARED / "media" / "people" / "obama.jpg"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    film = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    if PHOTO.exists():
        before_camera(film)
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",
                "--disable-gpu",
                "--disable-background-networking",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
                f"--use-file-for-fake-video-capture={film}",
            ],
        )
        yield running
        running.close()


def before_camera(path: Path) -> None:
    """A film of somebody who moves before a camera: one photograph, near and far and turned."""
    photo = cv2.imread(str(PHOTO))
    assert photo is not None
    height, width = photo.shape[:2]
    random = np.random.default_rng(7)
    with path.open("wb") as out:
        for _ in range(40):
            angle, scale = random.uniform(-25, 25), random.uniform(0.75, 1.15)
            turn = cv2.getRotationMatrix2D((width / 2, height * 0.4), angle, scale)
            one = cv2.warpAffine(photo, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
            one = cv2.convertScaleAbs(one, alpha=random.uniform(0.6, 1.3))
            if random.random() < 0.5:
                one = cv2.flip(one, 1)
            out.write(cv2.imencode(".jpg", cv2.resize(one, (640, 480)))[1].tobytes())


def test_somebody_is_enrolled_with_the_camera_and_removed(browser: Any, box: Box) -> None:
    if not (SHARED / "models" / "face_embed_mobilefacenet.onnx").exists():
        pytest.skip("no face embedding model: shared/models/face_embed_mobilefacenet.onnx")
    shared_file("media/people/obama.jpg")
    context = browser.new_context(viewport=PHONE, base_url=box.url)
    context.add_init_script(BY_JPEG)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    try:
        log_in(page, box)
        page.click("#enrol summary")
        page.fill("#person", "Ada")
        page.click("#start-camera")
        page.wait_for_selector("#shoot:not([hidden])")
        give_up = time.monotonic() + 90
        while page.is_disabled("#finish"):
            assert time.monotonic() < give_up, page.inner_text("#shots")
            before = page.locator("#shots li").count()
            page.click("#shoot")
            page.wait_for_selector(f"#shots li:nth-child({before + 1})")
        shot(page, "enrolled")
        page.click("#finish")
        page.locator("#people li", has_text="Ada").wait_for()
        assert [one["name"] for one in box.ask("GET", "/api/v1/faces").json["people"]] == ["Ada"]
        page.click("#people button")
        page.click("#ask-yes")
        page.locator("#people li", has_text="Ada").wait_for(state="detached")
        assert box.ask("GET", "/api/v1/faces").json["people"] == []
    finally:
        box.ask("DELETE", "/api/v1/faces/Ada")
        context.close()


# --- somebody else's page in the browser of somebody who is logged in -----------------------------

ATTACK = """async (box) => {
    const got = [];
    const paths = ['panic', 'resume', 'config/undo', 'filters/faces', 'logout',
                   'process?name=a.mp4', 'faces/Eve', 'streams/front/preview/offer'];
    const kinds = [
        {mode: 'no-cors', headers: {'Content-Type': 'text/plain'}},
        {mode: 'cors', headers: {'Content-Type': 'application/json', 'X-CSRF-Token': 'x'}},
        {mode: 'no-cors', headers: {'Content-Type': 'application/x-www-form-urlencoded'}},
    ];
    const body = '{"on": false, "reason": "mine"}';
    for (const path of paths) for (const kind of kinds) {
        try {
            const answer = await fetch(`${box}api/v1/${path}`,
                {method: 'POST', credentials: 'include', body, ...kind});
            got.push(answer.status);
        } catch { got.push('refused'); }
    }
    for (const path of ['api/v1/status', 'api/v1/config', 'metrics', 'api/v1/faces', '']) {
        try { got.push((await fetch(box + path, {credentials: 'include'})).status); }
        catch { got.push('refused'); }
    }
    const socket = new WebSocket(`${box.replace('http', 'ws')}api/v1/events`);
    got.push(await new Promise((resolve) => {
        socket.onmessage = () => resolve('told');
        socket.onerror = socket.onclose = () => resolve('refused');
    }));
    const image = new Image();
    image.src = `${box}api/v1/streams/front/preview.jpg`;
    got.push(await new Promise((resolve) => {
        image.onload = () => resolve('seen');
        image.onerror = () => resolve('refused');
    }));
    const frame = document.createElement('iframe');
    frame.src = box;
    document.body.append(frame);
    await new Promise((resolve) => { frame.onload = resolve; setTimeout(resolve, 3000); });
    try { got.push(frame.contentDocument === null ? 'refused' : 'open'); }
    catch { got.push('refused'); }
    const form = document.createElement('form');
    form.method = 'POST';
    form.action = `${box}api/v1/panic`;
    form.target = 'elsewhere';
    document.body.append(form);
    form.submit();
    return got;
}"""


class Elsewhere(http.server.BaseHTTPRequestHandler):
    """Somebody else's page, without any protection that could be the one that works."""

    def do_GET(self) -> None:
        body = b"<!doctype html><title>elsewhere</title><body>"
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        del format, args


def test_another_site_in_the_same_browser_gets_nowhere(browser: Any, box: Box) -> None:
    """Another host, and the same host on another port, which SameSite cookies take for one site."""
    box.await_on_air()

    def state() -> str:
        status = box.status()
        lanes = [lane["on"] for lane in status["streams"][0]["lanes"]]
        jobs = box.ask("GET", "/api/v1/process").json
        faces = box.ask("GET", "/api/v1/faces").json["people"]
        return json.dumps([status["panic"], status["revision"], lanes, len(jobs), faces])

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    port = server.server_address[1]
    try:
        before = state()
        context = browser.new_context(base_url=box.url)
        context.add_init_script(BY_JPEG)
        page = context.new_page()
        log_in(page, box)
        for host in ("localhost", "127.0.0.1"):
            other = context.new_page()
            other.goto(f"http://{host}:{port}/")
            got = other.evaluate(ATTACK, box.url)
            assert set(got) <= {"refused", 0}, got  # 0: opaque, nothing can be read from it
            other.wait_for_timeout(300)
            other.close()
        assert page.evaluate("fetch('/api/v1/session').then((answer) => answer.status)") == 200
        context.close()
        assert state() == before
    finally:
        server.shutdown()
        server.server_close()
