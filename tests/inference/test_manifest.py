"""What may be loaded: only what the manifest vouches for, and engines only where they belong."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.errors import ModelError
from edge.inference import choice as choosing
from edge.inference.choice import choose, engine_maker, explain
from edge.inference.gpu import GpuIdentity
from edge.inference.manifest import (
    FILE,
    Check,
    EngineFacts,
    Exported,
    Manifest,
    Origin,
    engines_dir,
    find_model,
    load_manifest,
    read_vouched,
    save_manifest,
    unfinished,
)

WEIGHTS = hashlib.sha256(b"weights").hexdigest()
ADA = GpuIdentity("NVIDIA L4", "sm_89", "13.0")
CHECK = Check(against="onnxruntime", inputs=50, error=0.004, tolerance=None, agreement=0.998)


def exported(
    data: bytes = b"plan", *, engine: EngineFacts | None = None, check: Check | None = CHECK, **more
) -> Exported:
    digest = hashlib.sha256(data).hexdigest()
    fields = {
        "model": "net", "family": "yunet", "kind": "onnx" if engine is None else "engine",
        "precision": "fp16", "file": f"net/{digest[:8]}", "sha256": digest, "size": len(data),
        "origin": Origin(sha256=WEIGHTS, weights="published", licence="MIT", text="a wheel"),
        "onnx_sha256": digest, "opset": 17, "inputs": (), "outputs": ("y",), "made_with": {},
        "check": check, "engine": engine,
    }  # fmt: skip
    return Exported.model_validate(fields | more)


def facts(**more) -> EngineFacts:
    usual = {"flavour": "tensorrt", "version": "10.3.0", "target": "sm_89", "gpu": "NVIDIA L4",
             "driver": "13.0"}  # fmt: skip
    return EngineFacts.model_validate(usual | more)


@pytest.fixture(autouse=True)
def without_onnxruntime_gpu(monkeypatch):
    """A machine whose ONNX Runtime has the CPU only, whatever this one has."""
    monkeypatch.setattr(choosing, "cuda_trouble", lambda: "onnxruntime-gpu is not installed")


@pytest.fixture
def tensorrt(monkeypatch):
    """A machine that has TensorRT 10.3 installed, as its packages say."""
    monkeypatch.setattr(
        choosing, "installed", lambda flavour: "10.3.0" if flavour == "tensorrt" else None
    )


def write(folder, file: Exported, data: bytes = b"plan") -> None:
    path = folder / file.file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def test_a_manifest_comes_back_as_it_was(tmp_path):
    manifest = Manifest(files=(exported(), exported(engine=facts())))
    save_manifest(tmp_path, manifest)
    assert load_manifest(tmp_path) == manifest


def test_without_a_manifest_nothing_is_vouched_for(tmp_path):
    assert load_manifest(tmp_path).files == ()
    assert find_model(tmp_path, "net") is None


@pytest.mark.parametrize(
    "text", ["", "{", '{"version": 2}', '{"version": 1, "files": [{}]}', "[]", "\x00\xff"]
)
def test_a_damaged_manifest_is_an_error_and_no_empty_one(tmp_path, text):
    (tmp_path / FILE).write_text(text, encoding="latin-1")
    with pytest.raises(ModelError, match="nothing beside it is trusted"):
        load_manifest(tmp_path)
    with pytest.raises(ModelError, match="nothing beside it is trusted"):
        engine_maker(b"", "net", WEIGHTS, device="auto", threads=1, folder=tmp_path)


@given(st.integers(0, 3), st.integers(0, 7))
def test_a_file_with_any_bit_flipped_is_not_loaded(tmp_path_factory, byte, bit):
    folder, file = tmp_path_factory.mktemp("engines"), exported(engine=facts())
    damaged = bytearray(b"plan")
    damaged[byte] ^= 1 << bit
    write(folder, file, bytes(damaged))
    with pytest.raises(ModelError, match=r"is not what manifest\.json vouches for") as caught:
        read_vouched(folder, file)
    assert "privaedge export net" in str(caught.value)


def test_a_file_that_is_gone_is_told_of(tmp_path):
    with pytest.raises(ModelError, match="cannot be read"):
        read_vouched(tmp_path, exported())


@pytest.mark.parametrize(
    "path", ["../x", "/etc/passwd", "a/../../x", ".hidden", "a//b", "", "a/.b"]
)
def test_a_path_out_of_the_folder_is_refused(path):
    with pytest.raises(ValidationError):
        exported(file=path)


def test_a_new_file_takes_the_place_of_the_one_like_it():
    old, new = exported(b"old"), exported(b"new")
    other = exported(b"plan", engine=facts())
    manifest = Manifest(files=(old, other)).with_file(new)
    assert list(manifest.files) == [new, other]


def test_an_engine_that_was_checked_here_is_taken(tensorrt):
    manifest = Manifest(files=(exported(), exported(engine=facts())))
    choice = choose(manifest, WEIGHTS, "", ADA, "auto")
    assert choice.engine is not None
    assert str(choice) == (
        "tensorrt 10.3.0, fp16: checked on this NVIDIA L4, 99.8 % of answers the same"
    )


def test_the_lowest_precision_is_taken_since_it_passed_its_gate(tensorrt):
    files = tuple(
        exported(p.encode(), precision=p, engine=facts()) for p in ("fp32", "int8", "fp16")
    )
    choice = choose(Manifest(files=files), WEIGHTS, "", ADA, "auto")
    assert choice.engine is not None
    assert choice.engine.precision == "int8"


@pytest.mark.parametrize(
    ("gpu", "engine", "check", "why"),
    [
        (None, facts(), CHECK, "no NVIDIA GPU is here"),
        (ADA, facts(target="sm_86"), CHECK, "the engine is for sm_86, this GPU is sm_89"),
        (ADA, facts(version="10.4.0"), CHECK, "built by tensorrt 10.4.0, here is 10.3.0"),
        (ADA, facts(flavour="tensorrt_rtx"), CHECK, "here is none"),
        (ADA, facts(gpu=None, driver=None), None, "has not been checked on this machine yet"),
        (ADA, facts(driver="12.6"), CHECK, "the driver changed from 12.6 to 13.0"),
    ],
)
def test_an_engine_that_does_not_belong_here_is_passed_over_with_the_reason(
    tensorrt, gpu, engine, check, why
):
    choice = choose(Manifest(files=(exported(engine=engine, check=check),)), WEIGHTS, "", gpu,
                    "auto")  # fmt: skip
    assert choice.engine is None
    assert why in str(choice)
    assert str(choice).startswith("ONNX Runtime on the CPU: ")


def test_an_engine_of_other_weights_or_of_random_ones_is_never_taken(tensorrt):
    manifest = Manifest(files=(exported(engine=facts()),))
    assert choose(manifest, "0" * 64, "", ADA, "auto").engine is None
    random = Origin(sha256=WEIGHTS, weights="random", licence="MIT", text="an architecture")
    manifest = Manifest(files=(exported(engine=facts(), origin=random),))
    assert "random" in choose(manifest, WEIGHTS, "", ADA, "auto").why


def test_the_cpu_can_be_asked_for(tensorrt):
    manifest = Manifest(files=(exported(engine=facts()),))
    assert choose(manifest, WEIGHTS, "", ADA, "cpu") == choosing.Choice(
        None, "runtime.device is cpu"
    )


def test_an_engine_that_was_tampered_with_stops_the_lane(tensorrt, tmp_path, monkeypatch):
    """It is code: passing over it in silence would hide that somebody changed it."""
    monkeypatch.setattr(choosing, "gpu_here", lambda: ADA)
    file = exported(engine=facts())
    save_manifest(tmp_path, Manifest(files=(file,)))
    write(tmp_path, file, b"code")
    with pytest.raises(ModelError, match="is not loaded"):
        engine_maker(b"", "net", WEIGHTS, device="auto", threads=1, folder=tmp_path)
    assert explain(WEIGHTS, folder=tmp_path).startswith("nothing: exported file")
    assert explain("0" * 64, folder=tmp_path) == (
        "ONNX Runtime on the CPU: no engine was exported (privaedge export); "
        "onnxruntime-gpu is not installed"
    )


def test_random_weights_are_no_model_of_a_lane(tmp_path):
    random = Origin(sha256=WEIGHTS, weights="random", licence="MIT", text="an architecture")
    files = (exported(precision="fp32", origin=random),)
    save_manifest(tmp_path, Manifest(files=files))
    assert find_model(tmp_path, "net") is None
    save_manifest(tmp_path, Manifest(files=(exported(precision="fp32"),)))
    assert find_model(tmp_path, "net") is not None


def test_what_is_left_for_a_gpu_is_what_it_has_not_checked():
    graph = exported(b"graph")
    assert unfinished(Manifest(files=(graph,)), "sm_89", "13.0") == {"net": "fp16"}
    done = Manifest(files=(graph, exported(engine=facts())))
    assert unfinished(done, "sm_89", "13.0") == {}
    assert unfinished(done, "sm_89", "13.1") == {"net": "fp16"}
    assert unfinished(done, "sm_87", "13.0") == {"net": "fp16"}


def test_the_folder_can_be_named(monkeypatch, tmp_path):
    monkeypatch.setenv("PRIVAEDGE_ENGINES", str(tmp_path))
    assert engines_dir() == tmp_path


def test_a_manifest_is_plain_json(tmp_path):
    save_manifest(tmp_path, Manifest(files=(exported(),)))
    data = json.loads((tmp_path / FILE).read_text())
    assert data["files"][0]["origin"]["licence"] == "MIT"
