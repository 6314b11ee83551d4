"""The moving picture of what leaves, as the API gives it."""

from __future__ import annotations

import asyncio
import http.client

import cv2
import numpy as np
import pytest

from tests.appliance.box import Box

pytest.importorskip("fastapi", reason="the API's packages are not installed: privaedge[api]")

from edge.appliance.api_preview import Film, encode
from edge.appliance.outgoing import Outgoing
from tests.harness import SIZE


class Red:
    """A picture that is all red."""

    width, height = SIZE

    def shrink(self, width: int, height: int) -> np.ndarray:
        rgb = np.zeros((3, height, width), np.uint8)
        rgb[0] = 255
        return rgb


def test_colours_survive() -> None:
    picture = cv2.imdecode(np.frombuffer(encode(Red().shrink(64, 32)), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (32, 64, 3)
    blue, green, red = picture.reshape(-1, 3).mean(axis=0)
    assert red > 240
    assert blue < 10
    assert green < 10


def test_a_film_gives_each_picture_once_and_ends() -> None:
    outgoing = Outgoing()

    async def watch() -> list[bytes]:
        film = Film(outgoing)

        async def feed() -> None:
            for n in range(5):
                await asyncio.sleep(0.15)
                outgoing.take(Red(), n / 10)  # type: ignore[arg-type]

        feeding = asyncio.create_task(feed())
        seen = [jpeg async for jpeg in film.pictures(1.5)]
        await feeding
        return seen

    assert len(asyncio.run(watch())) == 5
    assert outgoing.newest is None, "nobody watches any more, so nothing is kept"


def test_nobody_watches_without_the_token(box: Box) -> None:
    for name in ("preview.jpg", "preview.mjpeg"):
        assert box.ask("GET", f"/api/v1/streams/front/{name}", token=False).status in (401, 429)
        assert box.ask("GET", f"/api/v1/streams/other/{name}").status == 404


def test_a_picture_and_a_film(box: Box) -> None:
    box.await_on_air()
    answer = box.ask("GET", "/api/v1/streams/front/preview.jpg")
    assert answer.status == 200
    assert answer.headers["cache-control"] == "no-store"
    picture = cv2.imdecode(np.frombuffer(answer.body, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (360, 640, 3)
    connection = http.client.HTTPConnection(box.host, box.port, timeout=30)
    connection.request("GET", "/api/v1/streams/front/preview.mjpeg", headers=box.bearer)
    film = connection.getresponse()
    assert film.headers["content-type"].startswith("multipart/x-mixed-replace; boundary=")
    boundary = film.headers["content-type"].partition("boundary=")[2]
    for _ in range(3):
        assert film.readline().strip() == f"--{boundary}".encode()
        assert film.readline().strip() == b"Content-Type: image/jpeg"
        length = int(film.readline().partition(b":")[2])
        film.readline()
        data = film.read(length)
        assert cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) is not None
        film.readline()
    connection.close()
