"""Runs the privaedge command, in this process or in one of its own, and reads what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from edge.cli import app
from edge.errors import ExitCode

TIMEOUT_S = 100.0
CLOSED = "http://127.0.0.1:9"
"""The discard port: nobody listens there."""

_STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class Outcome:
    """What the command returned and printed."""

    code: int
    out: str
    err: str

    def refused(self, code: ExitCode, *words: str) -> str:
        """Assert that it was refused in one line: a cause with these words, and a remedy."""
        assert self.code == int(code), (self.code, self.out, self.err)
        lines = self.err.splitlines()
        assert len(lines) == 1, self.err
        (line,) = lines
        assert line.startswith("privaedge: ")
        assert "Traceback" not in line
        assert line.rstrip("`").endswith((".", "?", "--force", "'")), f"cut off: {line}"
        sentences = re.split(r"\. (?=[A-Z])|; it must ", line)
        assert len(sentences) > 1, f"no remedy: {line}"
        for word in words:
            assert word in line, line
        return line


def environment(cache: Path) -> dict[str, str]:
    """This environment, with empty caches, no models, and no way into the network."""
    private = ("PIP_", "PRIVAEDGE_", "XDG_")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(private)}
    return kept | {
        "XDG_CACHE_HOME": str(cache),
        "XDG_STATE_HOME": str(cache / "state"),
        "PIP_INDEX_URL": f"{CLOSED}/simple",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_DEFAULT_TIMEOUT": "5",
        "http_proxy": CLOSED,
        "https_proxy": CLOSED,
        "COLUMNS": "80",
        "TERM": "dumb",
    }


FACES_ONLY = (
    "--set=video.models.plate.enabled=false",
    "--set=video.models.text.enabled=false",
    "--set=audio.enabled=false",
)
"""Most tests are about the command, with one model of their own: other lanes need theirs."""


def _complete(args: Sequence[str | Path]) -> list[str]:
    words = [str(a) for a in args]
    return [words[0], *FACES_ONLY, *words[1:]] if words[:1] in (["run"], ["demo"]) else words


def invoke(*args: str | Path) -> Outcome:
    """Run the command in this process. An exception that it lets through is a bug, and raised."""
    result = CliRunner().invoke(app, _complete(args))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Outcome(result.exit_code, result.stdout, result.stderr)


def command_line(*args: str | Path) -> list[str]:
    """What a shell would run."""
    return [sys.executable, "-m", "edge.cli", *_complete(args)]


def spawn(*args: str | Path, env: dict[str, str]) -> Outcome:
    """Run the command in a process of its own."""
    done = subprocess.run(
        command_line(*args),
        env=env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def blind_yunet(path: Path) -> Path:
    """Write a network of YuNet's inputs and outputs, of any size, that never sees a face."""
    zero = numpy_helper.from_array(np.zeros(1, np.float32), "zero")
    nodes, outputs, constants = [], [], [zero]
    for stride in _STRIDES:
        nodes += [
            helper.make_node(
                "AveragePool",
                ["input"],
                [f"pooled_{stride}"],
                kernel_shape=[stride, stride],
                strides=[stride, stride],
            ),
            helper.make_node("ReduceMean", [f"pooled_{stride}"], [f"grey_{stride}"], axes=[1]),
            helper.make_node("Mul", [f"grey_{stride}", "zero"], [f"none_{stride}"]),
        ]
        for kind, columns in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10)):
            name = f"{kind}_{stride}"
            shape = numpy_helper.from_array(np.array([1, -1, columns]), f"shape_{name}")
            constants.append(shape)
            nodes += [
                helper.make_node("Concat", [f"none_{stride}"] * columns, [f"stack_{name}"], axis=1),
                helper.make_node("Reshape", [f"stack_{name}", shape.name], [name]),
            ]
            outputs.append(
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, columns])
            )
    image = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, None, None])
    return _save(path, helper.make_graph(nodes, "blind", [image], outputs, constants))


def stranger(path: Path) -> Path:
    """Write a network that is of no known family: what goes in comes out."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, None, None])
    same = helper.make_tensor_value_info("same", TensorProto.FLOAT, [1, 3, None, None])
    node = helper.make_node("Identity", ["image"], ["same"])
    return _save(path, helper.make_graph([node], "stranger", [image], [same]))


def _save(path: Path, graph: onnx.GraphProto) -> Path:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])
    model.ir_version = 8
    path.write_bytes(model.SerializeToString())
    return path
