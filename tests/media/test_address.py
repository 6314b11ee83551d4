"""Addresses: what they are taken for, and that no text made from one holds its secrets."""

from __future__ import annotations

import pickle
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.errors import ExitCode, PrivaedgeError
from edge.media.address import Address, AddressError, has_protocol


@pytest.mark.parametrize(
    ("text", "kind", "safe"),
    [
        ("film.mp4", "file", "film.mp4"),
        ("a:b.mp4", "file", "a:b.mp4"),
        ("file:///tmp/a%20b.mp4", "file", "/tmp/a b.mp4"),
        ("out/", "hls-folder", "out/"),
        ("/srv/live/index.m3u8", "hls-folder", "/srv/live/index.m3u8"),
        ("hdmi", "v4l2", "hdmi"),
        ("/dev/video0", "v4l2", "/dev/video0"),
        ("/dev/v4l/by-id/usb-x-index0", "v4l2", "/dev/v4l/by-id/usb-x-index0"),
        ("/dev/null", "file", "/dev/null"),
        ("rtsp://cam", "rtsp", "rtsp://cam"),
        ("RTSP://cam:8554/a/b", "rtsp", "rtsp://cam:8554/a/b"),
        ("rtsps://u:p@cam/a", "rtsp", "rtsps://***@cam/a"),
        ("rtsp://u:p@w@[fe80::1%eth0]:554/a", "rtsp", "rtsp://***@[fe80::1%eth0]:554/a"),
        ("rtsp://cam/user=admin&password=x/ch1", "rtsp", "rtsp://cam/***/ch1"),
        ("rtsp://cam/a?token=x#y", "rtsp", "rtsp://cam/a?***"),
        ("rtsp://cam?token=x", "rtsp", "rtsp://cam?***"),
        ("rtmp://host/app/key", "rtmp", "rtmp://host/app/***"),
        ("rtmps://host:443/app/key?a=b", "rtmp", "rtmps://host:443/app/***?***"),
        ("rtmp://host/app/part/key", "rtmp", "rtmp://host/app/***/***"),
        ("rtmp://host/key/", "rtmp", "rtmp://host/***/"),
        ("https://u@host/x.ts", "http", "https://***@host/x.ts"),
        ("http://host/@name/x.M3U8?k=1", "hls", "http://***?***"),
        ("http://u:p@host/@name/x.m3u8", "hls", "http://***@host/@name/x.m3u8"),
        ("udp://239.1.1.1:5000", "udp", "udp://239.1.1.1:5000"),
        ("udp://@:5000?localaddr=10.0.0.1", "udp", "udp://@:5000?***"),
    ],
)
def test_kinds_and_safe_texts(text, kind, safe):
    address = Address.parse(text)
    assert (address.kind, str(address), address.safe) == (kind, safe, safe)
    assert address.is_live == (kind not in ("file", "hls-folder"))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rtsp://",
        "rtsp:///path",
        "rtsp://host:0/",
        "rtsp://host:70000/",
        "rtsp://host:٣/",
        "rtsp://user:pa/ss@host/",
        "rtsp://user:12/34@host/",
        "rtsp://user:pa:ss/x",
        "rtsp://[::1/",
        "rtsp://host/a b",
        "rtsp://host/a\nb",
        "rtmp://host",
        "rtmp://host/",
        "udp://239.1.1.1",
        "udp://",
        "ftp://host/secret",
        "file://host/secret",
        "gopher://user:secret@host/",
    ],
)
def test_what_cannot_be_an_address(text):
    with pytest.raises(AddressError) as caught:
        Address.parse(text)
    message = str(caught.value)
    assert "\n" not in message
    assert ". " in message, "cause. Remedy."
    assert "secret" not in message
    assert "pa" not in message.replace("path", "").replace("password", "")
    assert isinstance(caught.value, PrivaedgeError)
    assert isinstance(caught.value, ValueError)
    assert caught.value.exit_code == ExitCode.USAGE


_SECRET = "S3CRET"
_text = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=6)


@given(
    st.sampled_from(["rtsp", "rtsps", "rtmp", "rtmps", "http", "https", "udp", "ftp", "srt"]),
    _text,
    _text,
    st.booleans(),
    st.sampled_from(["/app/", "/", "", ":554/app/"]),
)
@example("rtsp", "", "/", False, "/app/")
@example("rtsp", "12/", "@", False, "/app/")
def test_a_password_never_shows_however_it_is_written(scheme, before, after, quoted, path):
    password = before + _SECRET + after
    password = quote(password, safe="") if quoted else password
    text = f"{scheme}://user:{password}@host{path}stream"
    made: Address | AddressError
    try:
        made = Address.parse(text)
    except AddressError as error:
        made = error
    assert _SECRET not in str(made) + repr(made) + f"{made}"


@given(st.sampled_from(["rtmp", "rtmps"]), _text, st.sampled_from(["", "/inst", "?x=y"]))
def test_a_stream_key_never_shows(scheme, around, behind):
    text = f"{scheme}://host/app/{quote(around)}{_SECRET}{behind}"
    address = Address.parse(text)
    assert _SECRET not in str(address) + repr(address)
    assert _SECRET in address.url


@given(st.sampled_from(["rtsp", "rtmp", "http", "udp"]), _text)
def test_a_query_never_shows(scheme, around):
    address = Address.parse(f"{scheme}://host:80/app/x?{quote(around)}={_SECRET}")
    assert _SECRET not in str(address) + repr(address)


@given(st.text(max_size=40))
def test_any_text_is_an_address_or_refused(text):
    try:
        address = Address.parse(text)
    except AddressError:
        return
    assert pickle.loads(pickle.dumps(address)) == address


def test_srt_is_taken_only_where_ffmpeg_has_it():
    text = "srt://host:9000?passphrase=secret"
    if has_protocol("srt"):
        assert Address.parse(text).kind == "srt"
    else:
        with pytest.raises(AddressError, match=r"has no SRT\. Use"):
            Address.parse(text)


def test_protocols():
    assert has_protocol("rtmp")
    assert has_protocol("udp")
    assert not has_protocol("nonsense")
