"""Graphs of the driver, through whichever binding is beneath: recorded, replayed, given back."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable

import numpy as np
import pytest

from edge.errors import DeviceError
from edge.inference.bound import CudaMemory, CudaSlot
from edge.inference.driver import CudaError
from edge.redact.cpu import CpuRedactor
from edge.redact.cuda import CudaRedactor
from edge.redact.effects import RedactionStyle
from tests.redact.emulator import Device, Resident, largest_difference
from tests.redact.test_cpu import as_nv12, copy, noise

UNSUPPORTED, INVALIDATED, ISOLATION = 900, 901, 905
"""CUDA_ERROR_STREAM_CAPTURE_*, of cuda.h."""


def filled(slot: CudaSlot, values: list[int]) -> None:
    slot.reserve(len(values))
    slot.view((len(values),), np.dtype(np.uint8))[:] = values
    slot.send(len(values))


def test_what_is_recorded_is_done_when_it_is_replayed_on_what_lies_there_then(device: Device):
    memory = CudaMemory(device.cuda)
    cuda, stream = device.cuda, memory.stream
    one, other = memory.slot(), memory.slot()
    filled(one, [1, 2, 3, 4])
    filled(other, [9, 9, 9, 9])
    memory.wait()

    def queue() -> None:
        memory.copy(other.address, one.address, 4)
        cuda.clear(other.address + 3, 1, stream)
        other.fetch(4)

    def there() -> list[int]:
        memory.wait()
        return other.view((4,), np.dtype(np.uint8)).tolist()

    graph = cuda.capture(stream, queue)
    assert there() == [9, 9, 9, 9]
    for _ in range(2):
        cuda.replay(graph, stream)
        assert there() == [1, 2, 3, 0]
    filled(one, [5, 6, 7, 8])
    cuda.replay(graph, stream)
    assert there() == [5, 6, 7, 0]
    cuda.drop_graph(graph)
    memory.close()


def test_kernels_are_replayed_with_the_parameters_they_were_recorded_with(device: Device):
    planes = as_nv12(noise(64, 48))
    masked = copy(planes)
    CpuRedactor(RedactionStyle()).mask_whole(masked)
    redactor = CudaRedactor(RedactionStyle(), device.cuda, device.image, 64, 48)
    first = Resident(device, planes)
    redactor.mask_device(first.picture)  # kernels may be loaded when they are first launched
    first.fetch(redactor.stream)
    there = Resident(device, planes)
    graph = device.cuda.capture(redactor.stream, lambda: redactor.mask_device(there.picture))
    device.cuda.replay(graph, redactor.stream)
    assert largest_difference(there.fetch(redactor.stream), masked) <= 1
    device.cuda.drop_graph(graph)
    redactor.close()


@pytest.mark.parametrize(
    ("spoil", "number"),
    [
        pytest.param(lambda m, _: m.cuda.wait(m.stream), UNSUPPORTED, id="waiting"),
        pytest.param(lambda m, _: m.cuda.allocate(64), UNSUPPORTED, id="allocating"),
        pytest.param(lambda m, event: m.follow(event), ISOLATION, id="following another stream"),
    ],
)
def test_what_has_no_place_in_a_graph_is_refused_and_the_stream_goes_on(
    device: Device, spoil: Callable[[CudaMemory, int], None], number: int
):
    memory = CudaMemory(device.cuda)
    cuda, stream = device.cuda, memory.stream
    slot, event, elsewhere = memory.slot(), cuda.event(), cuda.stream()
    filled(slot, [1, 2])
    cuda.record(event, elsewhere)
    with pytest.raises(CudaError) as told:
        cuda.capture(stream, lambda: spoil(memory, event))
    assert told.value.number == number

    def hide() -> None:
        with pytest.raises(DeviceError):
            spoil(memory, event)

    with pytest.raises(CudaError) as told:
        cuda.capture(stream, hide)
    assert told.value.number == INVALIDATED
    cuda.clear(slot.address, 1, stream)
    slot.fetch(2)
    memory.wait()
    assert slot.view((2,), np.dtype(np.uint8)).tolist() == [0, 2]
    cuda.drop_event(event)
    cuda.drop_stream(elsewhere)
    memory.close()


def test_what_fails_while_it_is_recorded_is_raised_and_nothing_stays(device: Device):
    memory = CudaMemory(device.cuda)
    handles = device.emulator.count_handles() if device.emulator is not None else 0

    def broken() -> None:
        raise LookupError("not of CUDA")

    for _ in range(2):
        with pytest.raises(LookupError):
            device.cuda.capture(memory.stream, broken)
    memory.wait()
    assert gc.isenabled()
    if device.emulator is not None:
        assert device.emulator.count_handles() == handles
    memory.close()


def test_other_threads_allocate_and_wait_and_the_collector_frees_nothing_meanwhile(device: Device):
    memory, threshold = CudaMemory(device.cuda), gc.get_threshold()
    cuda = device.cuda
    slot, trouble = memory.slot(), []
    filled(slot, [7])
    memory.wait()

    class Holder:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            cuda.free(address)

    def elsewhere() -> None:
        try:
            other = CudaMemory(cuda)
            filled(other.slot(), [1] * 100)
            other.wait()
            other.close()
        except DeviceError as error:
            trouble.append(error)

    def queue() -> None:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        Holder()
        _ = [[number] for number in range(100)]  # enough to call the collector
        cuda.clear(slot.address, 1, memory.stream)

    address = cuda.allocate(64)
    gc.collect()
    gc.set_threshold(10)
    try:
        graph = cuda.capture(memory.stream, queue)
    finally:
        gc.set_threshold(*threshold)
    gc.collect()
    assert trouble == []
    cuda.replay(graph, memory.stream)
    slot.fetch(1)
    memory.wait()
    assert slot.view((1,), np.dtype(np.uint8)).tolist() == [0]
    cuda.drop_graph(graph)
    memory.close()
