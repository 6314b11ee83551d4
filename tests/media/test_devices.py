"""Capture devices without hardware: the kernel's interface, the choice of a mode, the sound card.

What only a driver can show is tested with the kernel's vivid driver, where there is one.
"""

from __future__ import annotations

import gc
import itertools
import shutil
import subprocess
import time
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import SourceError
from edge.frame import Frame
from edge.media import devices, v4l2
from edge.media.address import Address
from edge.media.capture import SoundCard, sound_of
from edge.media.devices import CaptureDevice, Mode, capture_devices, choose_mode, negotiate
from edge.media.live import LiveConnection, SourceLost
from edge.media.sound import SoundDecoder


def mode(text: str) -> Mode:
    size, code, fps = text.split()
    width, height = map(int, size.split("x"))
    return Mode(code, width, height, None if fps == "-" else Fraction(fps))


# Codes as `gcc -E` on the kernel's header gives them on x86-64 and aarch64.
CODES = {
    "VIDIOC_QUERYCAP": (v4l2.QUERYCAP, 0x80685600),
    "VIDIOC_ENUM_FMT": (v4l2.ENUM_FMT, 0xC0405602),
    "VIDIOC_ENUMINPUT": (v4l2.ENUMINPUT, 0xC050561A),
    "VIDIOC_G_INPUT": (v4l2.G_INPUT, 0x80045626),
    "VIDIOC_ENUM_FRAMESIZES": (v4l2.ENUM_FRAMESIZES, 0xC02C564A),
    "VIDIOC_ENUM_FRAMEINTERVALS": (v4l2.ENUM_FRAMEINTERVALS, 0xC034564B),
    "VIDIOC_S_DV_TIMINGS": (v4l2.S_DV_TIMINGS, 0xC0845657),
    "VIDIOC_QUERY_DV_TIMINGS": (v4l2.QUERY_DV_TIMINGS, 0x80845663),
}


def test_requests_have_the_sizes_of_the_kernels_structures():
    assert {name: ours for name, (ours, _) in CODES.items()} == {
        name: known for name, (_, known) in CODES.items()
    }


@pytest.mark.skipif(
    not Path("/usr/include/linux/videodev2.h").exists() or shutil.which("gcc") is None,
    reason="no gcc or no kernel headers (apt-get install gcc linux-libc-dev)",
)
def test_requests_against_the_kernels_header(tmp_path):
    lines = "".join(f'printf("{name} %lu\\n", (unsigned long){name});' for name in CODES)
    source = tmp_path / "codes.c"
    source.write_text(
        f"#include <stdio.h>\n#include <linux/videodev2.h>\nint main(void) {{ {lines} return 0; }}"
    )
    subprocess.run(["gcc", "-o", tmp_path / "codes", source], check=True, timeout=60)
    done = subprocess.run([tmp_path / "codes"], capture_output=True, text=True, check=True)
    assert {line.split()[0]: int(line.split()[1]) for line in done.stdout.splitlines()} == {
        name: ours for name, (ours, _) in CODES.items()
    }


@pytest.mark.parametrize(
    ("modes", "size", "fps", "chosen"),
    [
        # A USB 2 grabber: uncompressed full HD is too slow.
        ("1920x1080 YUYV 5, 1280x720 YUYV 10, 1920x1080 MJPG 30", None, None, "1920x1080 MJPG 30"),
        ("1280x720 MJPG 30, 1280x720 YUYV 30, 1280x720 NV12 30", None, None, "1280x720 NV12 30"),
        ("3840x2160 NV12 30, 1920x1080 NV12 30", None, None, "1920x1080 NV12 30"),
        ("3840x2160 NV12 30, 4096x2160 NV12 30", None, None, "3840x2160 NV12 30"),
        ("3840x2160 NV12 30, 1920x1080 NV12 30", (3840, 2160), None, "3840x2160 NV12 30"),
        ("640x480 YUYV 30, 1280x720 MJPG 30", (640, 480), None, "640x480 YUYV 30"),
        ("640x480 YUYV 30, 1280x720 MJPG 30", (700, 500), None, "640x480 YUYV 30"),
        ("1920x1080 YUYV 60, 1920x1080 YUYV 30", None, None, "1920x1080 YUYV 30"),
        ("1920x1080 YUYV 60, 1920x1080 YUYV 30", None, Fraction(60), "1920x1080 YUYV 60"),
        ("1920x1080 NV12 -", None, None, "1920x1080 NV12 -"),
        ("320x240 YUYV 5", None, None, "320x240 YUYV 5"),
    ],
)
def test_the_mode_that_is_chosen(modes, size, fps, chosen):
    assert choose_mode([mode(text) for text in modes.split(", ")], size, fps) == mode(chosen)


@given(
    st.lists(
        st.builds(
            Mode,
            st.sampled_from(["NV12", "YUYV", "MJPG"]),
            st.integers(16, 8192),
            st.integers(16, 8192),
            st.none() | st.fractions(1, 240),
        ),
        min_size=1,
    ),
    st.randoms(),
)
def test_the_choice_does_not_depend_on_the_order(modes, random):
    chosen = choose_mode(modes)
    shuffled = list(modes)
    random.shuffle(shuffled)
    again = choose_mode(shuffled)
    assert (again.width * again.height, again.code) == (chosen.width * chosen.height, chosen.code)


def test_hdmi_is_the_first_with_a_signal(monkeypatch):
    def devices_are(*signals: bool | None) -> None:
        found = [
            CaptureDevice(Path(f"/dev/video{n}"), f"card {n}", (mode("64x48 NV12 30"),), signal)
            for n, signal in enumerate(signals)
        ]
        monkeypatch.setattr(devices, "capture_devices", lambda: found)

    devices_are(False, None, True, True)
    assert negotiate("hdmi").path == Path("/dev/video2")
    devices_are(False, None, None)
    setup = negotiate("hdmi")
    assert setup.path == Path("/dev/video1")
    assert setup.note == "/dev/video1 (card 1): 64x48 NV12 at 30 fps"
    assert setup.options["input_format"] == "nv12"
    assert setup.options["video_size"] == "64x48"
    devices_are(False, False)
    with pytest.raises(SourceError, match=r"has a signal \(/dev/video0, /dev/video1\)\. Check"):
        negotiate("hdmi")
    devices_are()
    with pytest.raises(SourceError, match=r"no capture device\. Plug"):
        negotiate("hdmi")


def test_devices_that_are_none(tmp_path):
    with pytest.raises(SourceError, match=r"video99 does not exist\. Check"):
        LiveConnection(Address.parse("/dev/video99"))
    with pytest.raises(SourceError, match=r"is no capture device\. Try"):
        negotiate("/dev/null")
    assert capture_devices(tmp_path) == []
    (tmp_path / "video0").write_bytes(b"")
    (tmp_path / "video1").symlink_to("/dev/null")
    assert capture_devices(tmp_path) == []


# The sound card


def test_the_sound_card_of_the_same_usb_device(tmp_path):
    hub = tmp_path / "devices/usb1/1-2"
    grabber, camera = hub / "1-2.1", hub / "1-2.2"
    for interface in (grabber / "1-2.1:1.0", grabber / "1-2.1:1.2", camera / "1-2.2:1.0"):
        interface.mkdir(parents=True)
        (interface / "bInterfaceNumber").touch()
    (grabber / "1-2.1:1.2/sound/card3").mkdir(parents=True)
    sysfs = tmp_path / "class"
    for name, interface in (
        ("video0", grabber / "1-2.1:1.0"),
        ("video1", camera / "1-2.2:1.0"),
    ):
        (sysfs / name).mkdir(parents=True)
        (sysfs / name / "device").symlink_to(interface)
    assert sound_of(Path("/dev/video0"), sysfs) == "hw:3"
    assert sound_of(Path("/dev/video1"), sysfs) is None, "not the card of its neighbour"
    assert sound_of(Path("/dev/video7"), sysfs) is None


def test_a_sound_card_that_does_not_exist():
    with pytest.raises(SourceError, match=r"hw:99 cannot be opened: .*\. Check `arecord -l`\."):
        SoundCard("hw:99")


# With a driver: tests/manual/capture_device.sh runs these in a virtual machine

with_driver = pytest.mark.skipif(
    not any(device.name == "vivid" for device in capture_devices()),
    reason="the kernel's vivid driver is not loaded (tests/manual/capture_device.sh)",
)


def control(device: Path, setting: str) -> None:
    subprocess.run(["v4l2-ctl", "-d", device, "-c", setting], check=True, timeout=20)


def lost_after(source: LiveConnection, cause) -> str:
    """Let `cause` happen after a few frames; why the source was lost, within 5 s."""
    with pytest.raises(SourceLost) as caught:  # noqa: PT012 - the cause is part of it
        caused = None
        for item in source.read():
            if caused is None and isinstance(item, Frame) and item.frame_id == 5:
                cause()
                caused = time.monotonic()
            assert caused is None or time.monotonic() - caused < 5
    return caught.value.reason


@with_driver
@pytest.mark.parametrize("size", [(640, 360), (320, 180)])
def test_frames_of_a_webcam(size):
    (path,) = [d.path for d in capture_devices() if d.signal is None]
    with LiveConnection(Address.parse(str(path)), size=size, fps=Fraction(25)) as source:
        assert (source.info.width, source.info.height) == size
        assert source.info.fps == 25
        assert source.info.coded_pixel_format == "nv12"
        assert any(f"{size[0]}x{size[1]} NV12 at 25 fps" in note for note in source.notes)
        frames = list(itertools.islice(source.read(), 20))
    assert frames[0].pts == pytest.approx(0, abs=0.01)
    assert all(b.pts > a.pts for a, b in itertools.pairwise(frames))
    # The driver's memory is gone: frames must have their own.
    gc.collect()
    assert all(40 < frame.picture.luma.mean() < 200 for frame in frames)


@with_driver
def test_hdmi_with_sound():
    with LiveConnection(Address.parse("hdmi"), audio="hw:0,1") as source:
        assert any("1280x720 NV12 at 60 fps" in note for note in source.notes)
        decoder, sound, frames = SoundDecoder(source.info.sound), [], 0
        for item in source.read():
            if isinstance(item, Frame):
                frames += 1
            else:
                sound += decoder.decode(item)
            if sound and sound[-1][0] > 1.0:
                break
    assert frames > 5
    assert sum(samples.shape[1] for _, samples in sound) == pytest.approx(48_000, rel=0.2)


@with_driver
def test_an_hdmi_cable_that_is_pulled():
    (path,) = [d.path for d in capture_devices() if d.signal]
    try:
        with LiveConnection(Address.parse("hdmi")) as source:
            reason = lost_after(source, lambda: control(path, "dv_timings_signal_mode=1"))
        assert reason == "it has no signal"
        with pytest.raises(SourceError, match=r"has no signal\. Check cable"):
            LiveConnection(Address.parse(str(path)))
        assert negotiate("hdmi").path != path
    finally:
        control(path, "dv_timings_signal_mode=0")
    assert negotiate("hdmi").path == path


@with_driver
def test_a_device_that_is_unplugged():
    (path,) = [d.path for d in capture_devices() if d.signal is None]
    with LiveConnection(Address.parse(str(path)), size=(320, 180)) as source:
        assert lost_after(source, lambda: control(path, "disconnect=1")) == "no such device"
