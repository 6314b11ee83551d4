"""Memory that is lent: on the GPU where there is one, over a driver on the CPU everywhere."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from edge.errors import InferenceError
from edge.inference.pool import Pool
from tests.redact.emulator import Device


@pytest.fixture(autouse=True)
def entered(device: Device) -> None:
    device.cuda.enter()


@pytest.mark.parametrize("pinned", [False, True])
def test_an_exhausted_pool_raises_and_goes_on_when_something_comes_back(device: Device, pinned):
    taken = device.cuda.allocations
    pool = Pool(device.cuda, 3, 1000, pinned=pinned)
    pieces = [pool.take() for _ in range(3)]
    with pytest.raises(InferenceError, match="all 3 buffers"):
        pool.take()
    pool.give(pieces[1])
    assert pool.take() is pieces[1]
    starts = sorted(piece.address for piece in pieces)
    assert all(b - a == 1024 for a, b in itertools.pairwise(starts))
    assert device.cuda.allocations == taken + 1
    pool.close()


def test_what_is_not_lent_cannot_be_given_back(device: Device):
    pool, other = (Pool(device.cuda, 2, 64, pinned=True) for _ in range(2))
    piece = pool.take()
    with pytest.raises(ValueError, match="not lent"):
        other.give(piece)
    pool.give(piece)
    with pytest.raises(ValueError, match="not lent"):
        pool.give(piece)
    pool.close()
    other.close()


def test_pinned_memory_is_the_same_bytes_on_both_sides(device: Device):
    pool, there = Pool(device.cuda, 2, 512, pinned=True), Pool(device.cuda, 1, 512, pinned=False)
    one, other, far = pool.take(), pool.take(), there.take()
    cuda, stream = device.cuda, device.cuda.stream()
    one.host[:] = np.arange(512) % 251
    other.host[:] = 0
    cuda.upload(far.address, one.host_address, 512, stream)
    cuda.download(other.host_address, far.address, 512, stream)
    cuda.wait(stream)
    np.testing.assert_array_equal(other.host, one.host)
    cuda.clear(far.address, 512, stream)
    cuda.download(other.host_address, far.address, 512, stream)
    cuda.wait(stream)
    assert not other.host.any()
    pool.close()
    there.close()


def test_threads_never_share_a_piece(device: Device):
    pool = Pool(device.cuda, 4, 64, pinned=True)
    held: list[int] = []
    lock = threading.Lock()
    failures: list[int] = []

    def work() -> None:
        for _ in range(500):
            try:
                piece = pool.take()
            except InferenceError:
                continue
            with lock:
                if piece.number in held:
                    failures.append(piece.number)
                held.append(piece.number)
            with lock:
                held.remove(piece.number)
            pool.give(piece)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert len({pool.take().number for _ in range(4)}) == 4
    pool.close()


def test_too_little_memory_is_an_error_of_ours(device: Device):
    if device.emulator is None:
        pytest.skip("a real GPU's memory is not filled")
    device.emulator.limit_memory(4096)
    try:
        with pytest.raises(InferenceError, match="cuMemAlloc failed with error 2"):
            Pool(device.cuda, 2, 4096, pinned=False)
    finally:
        device.emulator.limit_memory(-1)


@pytest.mark.gpu
def test_streams_overlap(device: Device):
    """A copy on one stream does not wait for one on another: both take hardly longer than one."""
    if device.is_cpu:
        pytest.skip("nothing runs side by side on the CPU")
    cuda, size = device.cuda, 256 << 20
    pinned = [Pool(cuda, 1, size, pinned=True) for _ in range(2)]
    there = [Pool(cuda, 1, size, pinned=False) for _ in range(2)]
    hosts, devices = [p.take() for p in pinned], [p.take() for p in there]
    streams = [cuda.stream(), cuda.stream()]
    start, end, joined = cuda.event(), cuda.event(), cuda.event()

    def both(one: int, other: int) -> float:
        """Up on one stream and down on another: a GPU has an engine for either way."""
        cuda.record(start, one)
        cuda.follow(other, start)
        cuda.upload(devices[0].address, hosts[0].host_address, size, one)
        cuda.download(hosts[1].host_address, devices[1].address, size, other)
        cuda.record(joined, other)
        cuda.follow(one, joined)
        cuda.record(end, one)
        cuda.wait_event(end)
        return cuda.milliseconds(start, end)

    both(*streams)
    apart, together = both(streams[0], streams[0]), both(*streams)
    assert together < 0.8 * apart
    for pool in (*pinned, *there):
        pool.close()
