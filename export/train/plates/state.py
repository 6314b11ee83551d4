"""Training's state on disk: plain arrays and a JSON note, nothing that could be executed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn

from edge.errors import ModelError
from export.train.plates.network import PlateNet


def save(
    path: Path,
    network: nn.Module,
    average: nn.Module,
    optimiser: torch.optim.Optimizer,
    note: dict[str, Any],
) -> None:
    """Write a checkpoint, all of it or nothing."""
    arrays: dict[str, np.ndarray] = {}
    for prefix, module in (("network", network), ("average", average)):
        for name, value in module.state_dict().items():
            arrays[f"{prefix}/{name}"] = value.detach().cpu().contiguous().numpy()
    for index, values in optimiser.state_dict()["state"].items():
        for name, value in values.items():
            arrays[f"optimiser/{index}/{name}"] = torch.as_tensor(value).cpu().contiguous().numpy()
    arrays["note"] = np.frombuffer(json.dumps(note).encode(), np.uint8)
    part = path.with_suffix(".part")
    with part.open("wb") as sink:
        np.savez(sink, allow_pickle=False, **arrays)
    part.replace(path)


def load(
    path: Path, network: nn.Module, average: nn.Module, optimiser: torch.optim.Optimizer | None
) -> dict[str, Any]:
    """Read a checkpoint back and return its note. Raises ModelError where it does not fit."""
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays = {name: torch.from_numpy(held[name]) for name in held.files}
        note: dict[str, Any] = json.loads(bytes(arrays.pop("note").numpy()))
        for prefix, module in (("network", network), ("average", average)):
            module.load_state_dict(_below(arrays, prefix))
    except (OSError, EOFError, ValueError, KeyError, RuntimeError, BadZipFile) as error:
        reason = str(error).partition("\n")[0].rstrip(".: ")
        raise ModelError(f"checkpoint {path} cannot be used: {reason}. Train anew.") from error
    if optimiser is not None:
        state: dict[int, dict[str, Tensor]] = {}
        for name, value in _below(arrays, "optimiser").items():
            index, _, key = name.partition("/")
            state.setdefault(int(index), {})[key] = value
        optimiser.load_state_dict({**optimiser.state_dict(), "state": state})
    return note


def load_average(path: Path) -> PlateNet:
    """Return the averaged network of a checkpoint, ready to look. Raises ModelError."""
    network, average = PlateNet(), PlateNet()
    load(path, network, average, None)
    average.eval()
    return average


def _below(arrays: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    start = f"{prefix}/"
    return {k[len(start) :]: v for k, v in arrays.items() if k.startswith(start)}
