"""The CUDA kernels, compiled: by nvcc into one fatbin, else by NVRTC into a cubin each target.

No GPU is needed. NVRTC comes as a wheel (nvidia-cuda-nvrtc), nvcc with the CUDA toolkit or JetPack.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Final, Literal

from edge.errors import ModelError
from edge.inference.gpu import gpu_here
from edge.inference.kernels import SOURCE, source_file, source_sha256, sources
from edge.inference.manifest import KernelFile
from export.place import place

TARGETS: Final = ("sm_87", "sm_89", "sm_90", "sm_120")
"""Jetson Orin, RTX 40, H100 and H200, RTX 50."""
FLAGS: Final = ("--fmad=false", "--std=c++17")
"""No fused multiplication and addition: outlines are the float64 arithmetic of the CPU's."""
_WHEELS: Final = ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu13", "nvidia-cuda-nvrtc-cu12")
_TIMEOUT_S: Final = 600
_REMEDY: Final = "Install the CUDA toolkit (nvcc), or `pip install nvidia-cuda-nvrtc`."


@dataclass(frozen=True, slots=True)
class Compiled:
    """One file of kernels. targets: the GPUs that it holds for."""

    data: bytes
    format: Literal["fatbin", "cubin"]
    targets: tuple[str, ...]
    compiler: str


def export_kernels(folder: Path, targets: Sequence[str] = ()) -> list[KernelFile]:
    """Compile for some targets (without any: TARGETS and the GPU here), put the files beside the
    engines and let the manifest vouch for them. Raises ModelError and OSError."""
    here = gpu_here()
    wanted = tuple(targets) or tuple(dict.fromkeys((*TARGETS, *((here.target,) if here else ()))))
    records = []
    folder.mkdir(parents=True, exist_ok=True)
    for made in compile_kernels(wanted):
        own = hashlib.sha256(made.data).hexdigest()
        record = KernelFile(
            format=made.format,
            # With its hash in its name a new file never overwrites the one that is vouched for.
            file=f"kernels/{own[:8]}.{made.format}",
            sha256=own,
            size=len(made.data),
            targets=made.targets,
            source_sha256=source_sha256(),
            compiler=made.compiler,
        )
        place(folder, record, made.data)
        records.append(record)
    return records


def compile_kernels(targets: Sequence[str]) -> list[Compiled]:
    """Compile with what is here. Raises ModelError where nothing is, or it cannot build for one of
    the targets."""
    if (nvcc := find_nvcc()) is not None:
        return [compile_by_nvcc(nvcc, targets)]
    if (library := find_nvrtc()) is not None:
        return compile_by_nvrtc(library, targets)
    raise ModelError(f"neither nvcc nor NVRTC is here to compile the kernels with. {_REMEDY}")


def find_nvcc() -> Path | None:
    """Return nvcc: on the path, of $CUDA_HOME, or where toolkits install it."""
    homes = [os.environ.get("CUDA_HOME"), "/usr/local/cuda"]
    candidates = [shutil.which("nvcc"), *(f"{home}/bin/nvcc" for home in homes if home)]
    return next((Path(c) for c in candidates if c and os.access(c, os.X_OK)), None)


def find_nvrtc() -> Path | None:
    """Return NVRTC's library out of its wheel."""
    for name in _WHEELS:
        try:
            files = distribution(name).files or []
        except PackageNotFoundError:
            continue
        for file in files:
            path = Path(str(file.locate()))
            if re.fullmatch(r"libnvrtc\.so\.\d+", file.name) and path.is_file():
                return path
    return None


def compile_by_nvcc(nvcc: Path, targets: Sequence[str]) -> Compiled:
    """Compile into one fatbin. Raises ModelError."""
    known = set(_run([nvcc, "--list-gpu-code"]).split())
    release = re.search(r"release ([\d.]+)", _run([nvcc, "--version"]))
    compiler = f"nvcc {release.group(1) if release else 'of unknown version'}"
    _check_known(targets, known, compiler)
    codes = [f"--generate-code=arch={t.replace('sm', 'compute')},code={t}" for t in targets]
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch) / "kernels.fatbin"
        _run([nvcc, "--fatbin", *FLAGS, *codes, "--output-file", out, source_file()])
        return Compiled(out.read_bytes(), "fatbin", tuple(targets), compiler)


def compile_by_nvrtc(library: Path, targets: Sequence[str]) -> list[Compiled]:
    """Compile into one cubin a target. Raises ModelError."""
    try:
        api = ctypes.CDLL(str(library))
        major, minor = ctypes.c_int(), ctypes.c_int()
        api.nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
        count = ctypes.c_int()
        api.nvrtcGetNumSupportedArchs(ctypes.byref(count))
        archs = (ctypes.c_int * count.value)()
        api.nvrtcGetSupportedArchs(archs)
    except (OSError, AttributeError) as error:
        raise ModelError(f"NVRTC cannot be loaded: {type(error).__name__}. {_REMEDY}") from error
    compiler = f"NVRTC {major.value}.{minor.value}"
    _check_known(targets, {f"sm_{arch}" for arch in archs}, compiler)
    return [
        Compiled(_cubin(api, target, compiler), "cubin", (target,), compiler) for target in targets
    ]


def _cubin(api: Any, target: str, compiler: str) -> bytes:
    texts = sources()
    main = texts.pop(SOURCE).encode()
    headers = (ctypes.c_char_p * len(texts))(*(text.encode() for text in texts.values()))
    names = (ctypes.c_char_p * len(texts))(*(name.encode() for name in texts))
    program = ctypes.c_void_p()
    if api.nvrtcCreateProgram(
        ctypes.byref(program), ctypes.c_char_p(main), SOURCE.encode(), len(texts), headers, names
    ):
        raise ModelError(f"{compiler} does not take the kernels. {_REMEDY}")
    try:
        words = [f"--gpu-architecture={target}", *FLAGS]
        options = (ctypes.c_char_p * len(words))(*(word.encode() for word in words))
        failed = api.nvrtcCompileProgram(program, len(words), options)
        size = ctypes.c_size_t()
        if failed:
            api.nvrtcGetProgramLogSize(program, ctypes.byref(size))
            log = ctypes.create_string_buffer(size.value)
            api.nvrtcGetProgramLog(program, log)
            raise ModelError(_refused(compiler, log.value.decode("utf-8", "replace")))
        api.nvrtcGetCUBINSize(program, ctypes.byref(size))
        data = ctypes.create_string_buffer(size.value)
        api.nvrtcGetCUBIN(program, data)
        return data.raw
    finally:
        api.nvrtcDestroyProgram(ctypes.byref(program))


def _check_known(targets: Sequence[str], known: set[str], compiler: str) -> None:
    for target in targets:
        if target not in known:
            raise ModelError(
                f"{compiler} does not compile for {target}. Install a version that does, or leave "
                "that --target out."
            )


def _run(words: Sequence[str | Path]) -> str:
    try:
        done = subprocess.run(
            [str(word) for word in words], capture_output=True, text=True, timeout=_TIMEOUT_S,
            check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ModelError(f"nvcc cannot be run: {type(error).__name__}. {_REMEDY}") from error
    if done.returncode:
        raise ModelError(_refused("nvcc", done.stderr + done.stdout))
    return done.stdout


def _refused(compiler: str, log: str) -> str:
    lines = [line.strip() for line in log.splitlines() if re.search("error|fatal", line, re.I)]
    said = lines[0] if lines else (log.strip().splitlines() or ["it does not say why"])[-1]
    return f"{compiler} cannot compile the kernels: {said.rstrip('.')}. {_REMEDY}"
