"""The operator's page in Chromium, on a running service with a real stream."""

from __future__ import annotations

import base64
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.appliance.box import Box
from tests.harness import film
from tests.live.stage import judge
from tests.live.viewer import Received

pytest.importorskip("fastapi", reason="the API's packages are not installed: privaedge[api]")
sync_api = pytest.importorskip(
    "playwright.sync_api", reason="playwright is not installed: pip install playwright"
)

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (.ci/packages.sh)"),
    pytest.mark.timeout(180),
]

PHONE = {"width": 390, "height": 844}
DESK = {"width": 1280, "height": 900}
TIMEOUT_MS = 30_000
MOST_BYTES = 300_000
"""Of a first load."""
BY_JPEG = "delete window.RTCPeerConnection"
"""The picture by WebRTC has tests of its own; encoding and decoding it would slow down the rest."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=[
                "--no-sandbox",  # the tests may run as root
                "--disable-gpu",
                "--disable-background-networking",
                "--use-fake-device-for-media-stream",
                "--use-fake-ui-for-media-stream",
            ],
        )
        yield running
        running.close()


@pytest.fixture
def page(browser: Any, box: Box) -> Iterator[Any]:
    """A page that is not logged in; whatever it complains about fails the test."""
    box.await_on_air()
    context = browser.new_context(viewport=PHONE, base_url=box.url, reduced_motion="reduce")
    context.add_init_script(BY_JPEG)
    page = context.new_page()
    page.set_default_timeout(TIMEOUT_MS)
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on(
        "console",
        lambda said: (
            complaints.append(said.text)
            if said.type == "error" and "status of 4" not in said.text
            else None
        ),
    )
    yield page
    context.close()
    assert not complaints


@pytest.fixture
def inside(page: Any, box: Box) -> Any:
    log_in(page, box)
    return page


def log_in(page: Any, box: Box) -> None:
    page.goto("/")
    page.fill("#token", box.token)
    page.click("#login button")
    page.wait_for_selector("#lanes li")


def eventually(condition: Callable[[], Any], what: str) -> Any:
    give_up = time.monotonic() + TIMEOUT_MS / 1000
    while not (found := condition()):
        assert time.monotonic() < give_up, what
        time.sleep(0.1)
    return found


def until(page: Any, expression: str) -> None:
    """Wait until JavaScript is true; wait_for_function needs eval, which the page forbids."""
    eventually(lambda: page.evaluate(expression), expression)


def shot(page: Any, name: str) -> None:
    """Keep a picture of the page for people to look at, where they asked for it."""
    if folder := os.environ.get("PRIVAEDGE_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def lane_switch(page: Any) -> Any:
    return page.locator('li[data-lane="faces"] .switch')


def test_nothing_shows_without_the_token(page: Any, box: Box) -> None:
    page.goto("/")
    page.fill("#token", "not-the-token")
    page.click("#login button")
    page.wait_for_selector("#notice:not([hidden])")
    assert page.is_hidden("#main")
    assert page.is_hidden("#panic")
    shot(page, "login")
    page.fill("#token", box.token)
    page.press("#token", "Enter")
    page.wait_for_selector("#lanes li")
    assert box.token not in page.url
    assert box.token not in page.content()
    page.reload()
    page.wait_for_selector("#lanes li")
    page.click("#logout")
    page.wait_for_selector("#login:not([hidden])")
    page.reload()
    page.wait_for_selector("#login:not([hidden])")


def test_the_first_load_is_small_and_needs_nobody_else(page: Any, box: Box) -> None:
    sizes: dict[str, int] = {}

    def count(response: Any) -> None:
        if "/api/v1/streams/" not in response.url:  # the preview never ends
            sizes[response.url] = len(response.body())

    page.on("response", count)
    log_in(page, box)
    page.wait_for_timeout(500)
    assert sum(sizes.values()) < MOST_BYTES
    assert all(address.startswith(box.url) for address in sizes)


def test_a_phone_shows_all_and_the_thumb_reaches_the_button(inside: Any) -> None:
    until(inside, "document.querySelector('#preview').naturalWidth > 0")
    shot(inside, "phone")
    width = inside.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"]
    button = inside.locator("#panic").bounding_box()
    assert button["height"] >= 60
    assert button["width"] >= PHONE["width"] * 0.8
    assert button["y"] + button["height"] <= PHONE["height"]
    small = inside.evaluate(
        "[...document.querySelectorAll('button, .button')].filter(one => one.offsetParent &&"
        " one.getBoundingClientRect().height < 40).map(one => one.id || one.textContent)"
    )
    assert not small


def test_the_desk_and_the_dark_show_it_too(browser: Any, box: Box) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport=DESK, base_url=box.url, color_scheme=scheme)
        context.add_init_script(BY_JPEG)
        page = context.new_page()
        log_in(page, box)
        until(page, "document.querySelector('#preview').naturalWidth > 0")
        shot(page, f"desk-{scheme}")
        back = page.evaluate("getComputedStyle(document.body).backgroundColor")
        page.click("#theme")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") != back
        context.close()


def picture(page: Any) -> Received:
    """What the page's film shows now."""
    pixels = page.evaluate("""() => {
        const film = document.querySelector('#film');
        const canvas = document.createElement('canvas');
        [canvas.width, canvas.height] = [film.videoWidth, film.videoHeight];
        const context = canvas.getContext('2d');
        context.drawImage(film, 0, 0);
        const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
        let text = '';
        for (let at = 1; at < data.length; at += 4) text += String.fromCharCode(data[at]);
        return [canvas.width, canvas.height, btoa(text)];
    }""")
    width, height, green = pixels
    luma = np.frombuffer(base64.b64decode(green), np.uint8).reshape(height, width)
    return Received(0, 0.0, 0.0, picture=luma)


def test_the_picture_comes_by_webrtc_without_faces_and_masked_in_a_panic(
    browser: Any, box: Box, clip: Path
) -> None:
    pytest.importorskip("aiortc", reason="aiortc is not installed: privaedge[api]")
    box.await_on_air()
    context = browser.new_context(viewport=PHONE, base_url=box.url)
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    try:
        log_in(page, box)
        page.wait_for_selector("#film:not([hidden])")
        assert page.is_hidden("#preview")
        assert page.evaluate("document.querySelector('#film').videoWidth") == 640
        usual = []
        for _ in range(8):
            usual.append(picture(page))
            page.wait_for_timeout(150)
        shot(page, "phone-webrtc")
        page.click("#panic")
        eventually(lambda: judge([picture(page)], clip).clear == 0, "it is masked")
        page.wait_for_timeout(300)
        masked = picture(page)
        page.click("#logout")
        page.wait_for_selector("#login:not([hidden])")
        assert page.evaluate("document.querySelector('#film').srcObject") is None
        page.goto("about:blank")
    finally:
        box.ask("POST", "/api/v1/resume")
        context.close()
    seen = judge(usual, clip, every=1)
    assert not seen.faces
    assert seen.clear >= 2
    assert judge([masked], clip).clear == 0
    assert not any("mjpeg" in address for address in asked)
    assert all(address.startswith((box.url, "about:")) for address in asked)


def test_where_webrtc_fails_the_picture_comes_as_jpeg(browser: Any, box: Box) -> None:
    box.await_on_air()
    context = browser.new_context(viewport=PHONE, base_url=box.url)
    page = context.new_page()
    page.route("**/preview/offer", lambda route: route.fulfill(status=503, json={"detail": "No."}))
    log_in(page, box)
    page.wait_for_selector("#preview:not([hidden])")
    assert page.is_hidden("#film")
    assert page.is_hidden("#notice")
    context.close()


def test_every_control_has_a_name(inside: Any) -> None:
    inside.evaluate("document.querySelector('#enrol').open = true")
    nameless = inside.evaluate(
        "[...document.querySelectorAll('button, input, a, summary, [role]')].filter(one =>"
        " one.offsetParent && !(one.getAttribute('aria-label') || one.textContent.trim() ||"
        " one.labels?.length || one.getAttribute('aria-labelledby') ||"
        " one.querySelector('img[alt]'))).map(one => one.outerHTML)"
    )
    nameless = [one for one in nameless if 'role="status"' not in one and 'role="log"' not in one]
    assert not nameless


def test_panic_by_keyboard_and_back(inside: Any, box: Box) -> None:
    inside.focus("#panic")
    inside.keyboard.press("Enter")
    eventually(lambda: box.status()["panic"]["on"], "it is pressed")
    until(inside, "document.querySelector('#panic').classList.contains('on')")
    until(inside, "document.querySelector('#health').textContent.includes('hidden')")
    shot(inside, "panic")
    inside.click("#panic")
    inside.keyboard.press("Escape")
    assert box.status()["panic"]["on"], "cancelled"
    inside.click("#panic")
    inside.click("#ask-yes")
    eventually(lambda: not box.status()["panic"]["on"], "it is released")
    until(inside, "!document.querySelector('#panic').classList.contains('on')")


def test_a_lane_is_switched_off_with_a_reason_only(inside: Any, box: Box) -> None:
    def faces_on() -> bool:
        return next(one for one in box.stream()["lanes"] if one["name"] == "faces")["on"]

    lane_switch(inside).click()
    inside.click("#ask-yes")
    assert inside.is_visible("#ask"), "the reason is missing"
    inside.fill("#ask-reason", "an empty room")
    shot(inside, "ask")
    inside.click("#ask-yes")
    eventually(lambda: not faces_on(), "it is off")
    inside.wait_for_selector('li[data-lane="faces"] .switch[aria-checked="false"]')
    lane_switch(inside).click()
    eventually(faces_on, "it is on again")
    inside.wait_for_selector('li[data-lane="faces"] .switch[aria-checked="true"]')


def test_effect_and_strength_reach_the_stream(inside: Any, box: Box) -> None:
    def blur() -> Any:
        answer = box.ask("GET", "/api/v1/config").json
        return answer["streams"]["front"]["settings"]["blur"]

    before = blur()["type"]
    assert before != "solid"
    until(inside, "document.querySelector('#effect').elements.type.value !== ''")
    inside.check('#effect input[value="solid"]')
    eventually(lambda: blur()["type"] == "solid", "the effect")
    inside.wait_for_selector("#undo:not([disabled])")
    inside.click("#undo")
    eventually(lambda: blur()["type"] == before, "undone")
    inside.focus("#pad")
    inside.keyboard.press("ArrowRight")
    eventually(lambda: blur()["pad"] > 0, "the room")


def test_the_camera_is_judged_and_told_why(inside: Any, box: Box) -> None:
    """Chromium's own test picture has no face in it."""
    inside.click("#enrol summary")
    inside.fill("#person", "Ada")
    inside.click("#start-camera")
    until(inside, "document.querySelector('#viewfinder').videoWidth > 0")
    inside.click("#shoot")
    eventually(
        lambda: inside.locator("#shots li.bad").count() or inside.is_visible("#notice"), "a verdict"
    )
    said = inside.inner_text("#shots") + inside.inner_text("#notice")
    assert said.strip()
    shot(inside, "enrol")
    assert inside.is_disabled("#finish")
    assert box.ask("GET", "/api/v1/faces").json["people"] == []


def test_a_file_is_redacted_and_saved(inside: Any, tmp_path: Path) -> None:
    clip = film(tmp_path / "clip.mp4", 12, sound=False)
    clip = clip.rename(tmp_path / "mine on the page.mp4")  # others of this box may be listed, too
    inside.set_input_files("#upload", clip)
    mine = inside.locator("#jobs li").filter(has_text=clip.name)
    mine.locator("a").wait_for(timeout=90_000)
    shot(inside, "job")
    with inside.expect_download() as saving:
        mine.locator("a").click()
    assert Path(saving.value.path()).stat().st_size > 1000
    mine.locator("button").click()
    mine.wait_for(state="detached")


def test_what_happened_is_listed_and_a_lost_box_is_told(inside: Any) -> None:
    inside.wait_for_selector("#log li")
    assert inside.inner_text("#outputs").strip()
    inside.context.set_offline(True)
    inside.evaluate("document.dispatchEvent(new Event('offline'))")
    figures = inside.inner_text("#figures")
    assert "Delay" in figures
