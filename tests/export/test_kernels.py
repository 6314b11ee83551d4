"""The kernels compile for every GPU that they are meant for, and the manifest vouches for them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.errors import ExitCode, ModelError
from edge.inference.kernels import load_kernels, source_file, sources
from edge.inference.manifest import load_manifest
from export import kernels
from export.kernels import TARGETS, compile_by_nvcc, compile_by_nvrtc, find_nvcc, find_nvrtc
from tests.command import invoke

ELF = b"\x7fELF"
FATBIN = bytes.fromhex("50ed55ba")
"""First bytes of a cubin, and of a fatbin (fatbinary.h)."""


@pytest.fixture(scope="module")
def by_nvcc() -> kernels.Compiled:
    if (nvcc := find_nvcc()) is None:
        pytest.skip("nvcc is missing (CUDA toolkit)")
    return compile_by_nvcc(nvcc, TARGETS)


@pytest.fixture(scope="module")
def nvrtc() -> Path:
    if (library := find_nvrtc()) is None:
        pytest.skip("NVRTC is missing (pip install nvidia-cuda-nvrtc)")
    return library


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path / "engines"))
    return tmp_path / "engines"


def test_nvcc_makes_one_file_for_all_targets(by_nvcc):
    assert by_nvcc.data.startswith(FATBIN)
    assert by_nvcc.targets == TARGETS
    assert by_nvcc.compiler.startswith("nvcc ")
    assert by_nvcc.data.count(ELF) == len(TARGETS) or len(by_nvcc.data) > 100_000  # or compressed


def test_nvrtc_makes_one_file_for_each_target(nvrtc):
    made = compile_by_nvrtc(nvrtc, TARGETS)
    assert [one.targets for one in made] == [(target,) for target in TARGETS]
    for one in made:
        assert one.data.startswith(ELF)
        for name in ("cell_means", "paint", "whole_means", "whole_fill", "watermark",
                     "detector_inputs", "shrink_luma", "luma_difference"):  # fmt: skip
            assert b".text." + name.encode() in one.data


def test_a_target_that_a_compiler_does_not_know_is_one_line(nvrtc):
    with pytest.raises(ModelError, match=r"does not compile for sm_30\. Install"):
        compile_by_nvrtc(nvrtc, ("sm_30",))


def test_sources_that_do_not_compile_are_one_line(nvrtc, monkeypatch):
    broken = {**sources(), "kernels.cu": sources()["kernels.cu"] + "\nnonsense;"}
    monkeypatch.setattr(kernels, "sources", lambda: broken)
    with pytest.raises(ModelError, match=r"cannot compile the kernels: kernels\.cu.*error") as told:
        compile_by_nvrtc(nvrtc, ("sm_89",))
    assert "\n" not in str(told.value)


def test_what_is_compiled_can_be_loaded_and_nothing_else(by_nvcc, folder, monkeypatch):
    monkeypatch.setattr(kernels, "compile_kernels", lambda targets: [by_nvcc])
    done = invoke("export", "kernels", "--json")
    assert done.code == 0
    (record,) = json.loads(done.out)["kernels"]
    assert (folder / record["file"]).read_bytes() == by_nvcc.data
    for target in TARGETS:
        assert load_kernels(target, folder) == by_nvcc.data
    with pytest.raises(ModelError, match="not been compiled for this GPU"):
        load_kernels("sm_86", folder)
    listed = invoke("export", "--list", "--json")
    rows = {row["model"]: row for row in json.loads(listed.out)}
    assert rows["kernels"]["exported"] == ", ".join(TARGETS)


def test_another_export_replaces_its_own_targets_only(by_nvcc, folder, monkeypatch):
    monkeypatch.setattr(kernels, "compile_kernels", lambda targets: [by_nvcc])
    assert invoke("export", "kernels").code == 0
    one = kernels.Compiled(ELF + b"one", "cubin", ("sm_89",), "test")
    monkeypatch.setattr(kernels, "compile_kernels", lambda targets: [one])
    assert invoke("export", "kernels", "--target", "sm_89").code == 0
    assert load_kernels("sm_89", folder) == one.data
    assert load_kernels("sm_87", folder) == by_nvcc.data
    every = kernels.Compiled(FATBIN + b"all", "fatbin", TARGETS, "test")
    monkeypatch.setattr(kernels, "compile_kernels", lambda targets: [every])
    assert invoke("export", "kernels").code == 0
    assert [k.targets for k in load_manifest(folder).kernels] == [TARGETS]
    assert [path.name for path in (folder / "kernels").iterdir()] == [
        Path(load_manifest(folder).kernels[0].file).name
    ]


def test_without_a_compiler_it_says_what_to_install(folder, monkeypatch):
    monkeypatch.setattr(kernels, "find_nvcc", lambda: None)
    monkeypatch.setattr(kernels, "find_nvrtc", lambda: None)
    invoke("export", "kernels").refused(ExitCode.MODEL, "pip install nvidia-cuda-nvrtc")
    assert not load_manifest(folder).kernels


def test_the_sources_travel_with_the_package():
    assert source_file().is_file()
    assert '#include "planes.cuh"' in sources()["kernels.cu"]
