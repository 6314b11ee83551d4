"""What the benchmark commands share: their errors, their tables, their JSON."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from edge.errors import ExitCode, PrivaedgeError

ByteArray = NDArray[np.uint8]


class BenchmarkError(PrivaedgeError):
    """The benchmark cannot measure what it was asked to. `cause. Remedy.`"""

    exit_code = ExitCode.INPUT


def parser(module: str, doc: str | None) -> argparse.ArgumentParser:
    """Return a parser whose --help is the module's docstring, set as written."""
    return argparse.ArgumentParser(
        prog=f"python -m benchmarks.{module}",
        description=doc,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def main(command: Callable[[list[str]], int]) -> None:
    """Run a command on the command line's arguments; a user's error is one line on stderr."""
    try:
        code = command(sys.argv[1:])
    except PrivaedgeError as error:
        print(f"error: {error}", file=sys.stderr)
        code = int(error.exit_code)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)


def emit(result: dict[str, Any], tables: list[Table], *, as_json: bool) -> None:
    """Print a result as JSON on stdout, or as tables."""
    if as_json:
        print(json.dumps(result, indent=1))
        return
    console = Console()
    for table in tables:
        console.print(table)


def open_video(path: Path) -> av.container.InputContainer:
    """Open a file that has a picture; BenchmarkError where it has none."""
    try:
        container = av.open(str(path))
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BenchmarkError(f"{path} cannot be read: {reason}. Name a video file.") from error
    if not container.streams.video:
        container.close()
        raise BenchmarkError(f"{path} has no picture. Name a file with a video stream.")
    container.streams.video[0].thread_type = "AUTO"
    return container


def decode(path: Path, pixel_format: str) -> Iterator[ByteArray]:
    """Yield every frame of a file as an array: "gray" (H, W) or "bgr24" (H, W, 3) uint8.

    Frames after unreadable data are lost, as they are to a viewer.
    """
    with open_video(path) as container:
        frames = container.decode(container.streams.video[0])
        while True:
            try:
                frame = next(frames)
            except StopIteration:
                return
            except av.error.InvalidDataError:
                return
            yield frame.to_ndarray(format=pixel_format).astype(np.uint8, copy=False)


def count_frames(path: Path) -> int:
    """Count the coded pictures of a file without decoding them."""
    with open_video(path) as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)
