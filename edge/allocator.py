"""Keeps glibc's allocator from holding on to picture buffers."""

from __future__ import annotations

import ctypes
import gc

_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGE_BYTES = 8 << 20
"""Above a 1080p picture: mapping those anew costs 3 % of all CPU time in page faults."""
_ARENAS = 2


def keep_memory_flat() -> None:
    """Use few arenas, and return very large blocks to the system when they are freed.

    By default each thread gets an arena of its own, with holes of its own, and glibc raises the
    size from which blocks are mapped singly up to 32 MiB as a program frees such blocks. Does
    nothing where there is no glibc.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(_M_MMAP_THRESHOLD, _LARGE_BYTES)
        libc.mallopt(_M_ARENA_MAX, _ARENAS)
    except (OSError, AttributeError):
        return


def settle_memory() -> None:
    """Take what there is now, models above all, out of the cycle collector's work until this is
    called again.

    It then only looks at what a stream has made: a collection takes milliseconds instead of a
    tenth of a second, in which no picture could leave.
    """
    gc.unfreeze()  # a stream that has ended since may be among what was put aside
    gc.collect()
    gc.freeze()


def free_cycles() -> None:
    """Free what only refers to itself.

    A first frame whose side data was read does, and it keeps all pictures of its decoder alive. The
    collector comes seldom by itself: a film that was played over and over took 4 GB after nine
    minutes, and a camera that is lost and found again would do the same.
    """
    gc.collect()


def return_free_memory() -> None:
    """Give what is free back to the system: cycles, and free pages in the middle of the heap.

    A machine under load holds more pictures for a while; small long-lived things end up between
    them and keep the heap at its largest size: measured as 12 % in half an hour. Takes a few
    milliseconds. Does not touch the heap where there is no glibc.
    """
    free_cycles()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except (OSError, AttributeError):
        return
