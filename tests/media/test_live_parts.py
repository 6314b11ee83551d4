"""The parts of the live sink that do no I/O: queue, interleaving, sound track, targets."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import SinkError
from edge.media.address import Address
from edge.media.fragments import cut_damaged_end
from edge.media.live_encoder import default_bitrate
from edge.media.live_packets import TICKS_PER_S, EncodedPacket, Interleaver, PacketQueue
from edge.media.live_sound import AAC_FRAME, CHANNELS, LONGEST_SILENCE_S, RATE, SoundTrack
from edge.media.live_target import target_for
from edge.media.sound import TOLERANCE_S

FRAME = TICKS_PER_S // 30
LIMIT_S = 1.0


def picture(number: int, *, key: bool = False) -> EncodedPacket:
    return EncodedPacket(True, b"x", number * FRAME, number * FRAME, FRAME, key)


def sound(dts: int) -> EncodedPacket:
    return EncodedPacket(False, b"s", dts, dts, 0, False)


# --- queue ----------------------------------------------------------------------------------

STEPS = st.lists(
    st.sampled_from(["put", "put", "put", "put", "key", "get", "get", "get", "pause", "restart"]),
    max_size=200,
)


@given(STEPS)
@settings(max_examples=100, deadline=None)
def test_queue_starts_at_keyframes_keeps_order_and_forgets_nothing_unsaid(steps):
    queue = PacketQueue(LIMIT_S)
    handed, begins, last, reading, leading = set(), False, -1, False, None
    number = 0
    for step in steps:
        if step in ("put", "key"):
            if step == "key" and leading is None:
                leading = number
            queue.put(picture(number, key=step == "key"))
            number += 1
        elif step == "get":
            packet = queue.get(0.0)
            if packet is None:
                continue
            assert reading
            assert packet.dts > last
            assert packet.is_key or not begins
            begins, last = False, packet.dts
            handed.add(packet.dts // FRAME)
        elif step == "pause":
            queue.pause()
            reading = False
        else:
            queue.restart()
            begins, last, reading = True, -1, True
        assert len(queue._kept) <= LIMIT_S * 30 + 2
    queue.pause()
    # What is neither handed out nor said to be dropped can still be handed out.
    missing = 0 if leading is None else number - leading - len(handed)
    assert missing - len(queue._kept) <= queue.dropped <= missing


def test_a_new_connection_begins_at_the_latest_keyframe_at_once():
    queue = PacketQueue(LIMIT_S)
    queue.restart()
    for number in range(20):
        queue.put(picture(number, key=number % 15 == 0))
    for _ in range(20):
        assert queue.get(0.0) is not None
    queue.pause()
    queue.restart()
    again = [queue.get(0.0) for _ in range(5)]
    assert [p.dts // FRAME for p in again if p is not None] == [15, 16, 17, 18, 19]
    assert queue.dropped == 0


def test_a_reader_that_falls_behind_jumps_to_a_keyframe():
    queue = PacketQueue(LIMIT_S)
    queue.restart()
    for number in range(100):
        queue.put(picture(number, key=number % 15 == 0))
    first = queue.get(0.0)
    assert first is not None
    assert first.is_key
    assert 100 - first.dts // FRAME <= LIMIT_S * 30 + 1
    assert queue.dropped == first.dts // FRAME


def test_packets_of_a_connection_that_never_came_about_count_as_dropped():
    queue = PacketQueue(LIMIT_S)
    queue.restart()
    for number in range(10):
        queue.put(picture(number, key=number == 0))
        queue.get(0.0)
    queue.pause(undelivered=True)
    queue.put(picture(10, key=True))
    assert queue.dropped == 10


def test_a_queue_that_ended_is_finished_when_it_is_empty():
    queue = PacketQueue(LIMIT_S)
    queue.restart()
    queue.put(picture(0, key=True))
    queue.end()
    assert not queue.is_finished
    assert queue.get(0.0) is not None
    assert queue.is_finished
    assert queue.get(10.0) is None


# --- interleaving ---------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.booleans(), st.integers(1, TICKS_PER_S // 4)), max_size=100),
    st.sampled_from([0.5, 3.0]),
)
@settings(max_examples=60, deadline=None)
def test_interleaving_loses_nothing_and_waits_no_longer_than_it_may(steps, wait_s):
    interleaver = Interleaver(wait_s)
    now, given_, taken = {True: 0, False: 0}, [], []
    for is_video, step in steps:
        now[is_video] += step
        packet = EncodedPacket(is_video, b"", now[is_video], now[is_video], 0, is_video)
        given_.append(packet)
        taken += interleaver.push(packet)
        for queue in interleaver._waiting:
            assert not queue or queue[-1].dts - queue[0].dts <= wait_s * TICKS_PER_S
    taken += interleaver.flush()
    assert sorted(map(id, taken)) == sorted(map(id, given_))
    for kind in (True, False):
        times = [p.dts for p in taken if p.is_video == kind]
        assert times == sorted(times)


def test_interleaving_is_by_time_while_both_come():
    interleaver = Interleaver(5.0)
    out = []
    for at in range(0, 40):
        out += interleaver.push(sound(at * 15_360))
        if at % 3 == 0 and at >= 9:  # the pictures' encoder looks ahead
            out += interleaver.push(picture((at - 9) // 3 * 2))
            out += interleaver.push(picture((at - 9) // 3 * 2 + 1))
    out += interleaver.flush()
    assert [p.dts for p in out] == sorted(p.dts for p in out)


# --- sound ----------------------------------------------------------------------------------


def tone(start: int, count: int) -> np.ndarray:
    """Samples that say by their value when they belong."""
    ramp = ((np.arange(start, start + count) % 1000) + 1) / 2000
    return np.tile(ramp.astype(np.float32), (CHANNELS, 1))


@given(
    st.lists(
        st.tuples(st.integers(-3000, 6000), st.integers(1, 3000), st.integers(0, 40_000)),
        max_size=10,
    ),
    st.sampled_from([0.0, 0.5]),
)
@settings(max_examples=60, deadline=None)
def test_sound_lies_where_its_time_says_and_all_else_is_silent(parts, lag_s):
    """parts: (samples left out or repeated, samples, how far the pictures go on afterwards)."""
    track, blocks = SoundTrack(10.0, lag_s), []
    wanted = np.zeros(0, np.float32)
    at = pictures_at = late = 0

    def silence(until: int) -> np.ndarray:
        return np.concatenate((wanted, np.zeros(max(0, until - len(wanted)), np.float32)))

    for gap, count, ahead in parts:
        at = max(0, at + gap)
        samples = tone(at, count)
        blocks += track.write(samples, 10.0 + at / RATE)
        off = at - len(wanted)
        cut = 0
        if abs(off) > TOLERANCE_S * RATE:
            wanted = silence(at)
            cut = min(count, max(0, -off))
        late += cut
        wanted = np.concatenate((wanted, samples[0, cut:]))
        at += count
        pictures_at = max(pictures_at, at) + ahead
        blocks += track.advance(10.0 + pictures_at / RATE)
        wanted = silence(pictures_at - round(lag_s * RATE))
        assert track.end_s == pytest.approx(10.0 + len(wanted) / RATE, abs=1.5 / RATE)
    blocks += track.flush()
    assert [first for first, _ in blocks] == list(range(0, AAC_FRAME * len(blocks), AAC_FRAME))
    assert track.late == late
    if blocks:
        heard = np.concatenate([block for _, block in blocks], axis=1)
        assert 0 <= heard.shape[1] - len(wanted) < AAC_FRAME
        assert np.array_equal(heard, np.tile(silence(heard.shape[1]), (CHANNELS, 1)))


def test_late_sound_is_cut_and_counted():
    track = SoundTrack(0.0, 0.0)
    list(track.advance(1.0))
    list(track.write(tone(0, RATE), 0.5))
    assert track.late == RATE // 2
    assert track.end_s == pytest.approx(1.5)


def test_sound_from_a_wrong_future_does_not_stop_the_track():
    track = SoundTrack(0.0, 0.5)
    assert list(track.write(tone(0, RATE), 3600.0)) == []
    assert track.late == RATE
    assert len(list(track.advance(1.0))) == RATE // 2 // AAC_FRAME


def test_a_very_long_hole_is_left_out():
    track = SoundTrack(0.0, 0.0)
    before = list(track.advance(1.0))
    after = list(track.advance(1.0 + 10 * LONGEST_SILENCE_S))
    after += track.advance(2.0 + 10 * LONGEST_SILENCE_S)
    assert len(before) + len(after) < 2 * RATE // AAC_FRAME + 3
    firsts = [first for first, _ in before + after]
    assert firsts == sorted(set(firsts))
    assert firsts[-1] > 10 * LONGEST_SILENCE_S * RATE


@pytest.mark.parametrize("channels", [1, 2, 3, 6, 8])
def test_any_number_of_channels_becomes_stereo(channels):
    track = SoundTrack(0.0, 0.0)
    samples = np.full((channels, AAC_FRAME), 0.1, np.float32)
    samples[0, 0], samples[0, 1] = np.nan, np.inf
    [(_, block)] = track.write(samples, 0.0)
    assert block.shape == (CHANNELS, AAC_FRAME)
    assert block.dtype == np.float32
    assert np.isfinite(block).all()
    assert np.abs(block).max() <= 1.0


@pytest.mark.parametrize("shape", [(1024,), (0, 1024), (9, 1024), (1, 2, 3)])
def test_sound_of_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        list(SoundTrack(0.0, 0.0).write(np.zeros(shape, np.float32), 0.0))


# --- rate and targets -----------------------------------------------------------------------


def test_default_bitrates_are_what_ingests_recommend():
    assert 2e6 < default_bitrate(1280, 720, Fraction(30)) < 4e6
    assert 4.5e6 < default_bitrate(1920, 1080, Fraction(30)) < 10e6
    assert 6e6 < default_bitrate(1920, 1080, Fraction(60)) < 12e6
    assert default_bitrate(64, 48, Fraction(5)) >= 300_000


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("http://host/live", "cannot be an output"),
        ("/dev/video0", "cannot be an output"),
        ("out.webm", "H.264"),
        ("out.xyz", "not supported"),
        ("nowhere/out.mp4", "does not exist"),
        ("a%d/live.m3u8", "%"),
    ],
)
def test_what_cannot_be_an_output_is_refused_with_a_remedy(output, said):
    with pytest.raises(SinkError, match=said) as caught:
        target_for(Address.parse(output))
    assert str(caught.value).count(". ") >= 1


def test_targets_hide_secrets():
    target = target_for(Address.parse("rtmps://user:pass@host.example/live/SECRET?token=T0KEN"))
    for text in (str(target), repr(target)):
        assert not any(secret in text for secret in ("SECRET", "T0KEN", "pass"))
    assert target.options["tls_verify"] == "1"


def test_a_file_that_exists_is_left_alone(tmp_path: Path):
    path = tmp_path / "a.mp4"
    assert target_for(path).place()[1] == path
    path.write_bytes(b"1")
    assert target_for(path).place()[1] == tmp_path / "a.part2.mp4"
    (tmp_path / "a.part2.mp4").write_bytes(b"2")
    assert target_for(path).place()[1] == tmp_path / "a.part3.mp4"
    assert target_for(path, overwrite=True).place()[1] == path


# --- repair ---------------------------------------------------------------------------------


def box(kind: bytes, length: int, *, large: bool = False) -> bytes:
    head = (1).to_bytes(4, "big") + kind + length.to_bytes(8, "big")
    head = head if large else length.to_bytes(4, "big") + kind
    return head + bytes(length - len(head))


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_file_is_cut_behind_its_last_complete_fragment(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("cut") / "a.mp4"
    written, ends = box(b"ftyp", 28) + box(b"moov", 40), []
    for _ in range(data.draw(st.integers(0, 3))):
        written += box(b"moof", data.draw(st.integers(8, 50)))
        written += box(b"mdat", data.draw(st.integers(16, 90)), large=data.draw(st.booleans()))
        ends.append(len(written))
    kept = data.draw(st.integers(0, len(written)))
    path.write_bytes(written[:kept])
    wanted = max((end for end in ends if end <= kept), default=kept)
    assert cut_damaged_end(path) == kept - wanted
    assert path.read_bytes() == written[:wanted]


def test_what_is_no_mp4_is_left_alone(tmp_path: Path):
    path = tmp_path / "a.mp4"
    for content in (b"", b"text", bytes(100), b"\0\0\0\1mdat\0"):
        path.write_bytes(content)
        assert cut_damaged_end(path) == 0
        assert path.read_bytes() == content
