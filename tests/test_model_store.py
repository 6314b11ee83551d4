"""Finding, verifying and choosing models among real files."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import model_store
from edge.catalogue import Catalogue, load_catalogue, parse_catalogue
from edge.errors import ModelError
from edge.model_store import (
    ModelStatus,
    ModelStore,
    ResolvedModel,
    default_cache_dir,
    default_search_dirs,
)
from edge.resources import package_file
from tests.support import shared_file

A, B, C = (bytes([letter]) * 1000 for letter in b"abc")

_ENTRY = """
  {name}:
    task: face-detection
    family: {family}
    description: a test model
    licence: MIT
    file: {name}.onnx
    sha256: "{sha256}"
    size: {size}
    input: {{layout: NCHW, channels: RGB, range: [0, 1], multiple_of: 32, dynamic: true}}
    output: none
    sources: [{source}]
"""


def catalogue_of(*rows: tuple[str, bytes, str]) -> Catalogue:
    """Make a catalogue of (name, the model's bytes, source as YAML)."""
    entries = (
        _ENTRY.format(
            name=name,
            family=f"family-{name}",
            sha256=hashlib.sha256(data).hexdigest(),
            size=len(data),
            source=source,
        )
        for name, data, source in rows
    )
    return parse_catalogue("models:" + "".join(entries))


@pytest.fixture
def offered(tmp_path: Path) -> Path:
    """Return a folder with b's bytes and c's, to be fetched by file:// URL."""
    folder = tmp_path / "offered"
    folder.mkdir()
    (folder / "b").write_bytes(B)
    (folder / "c").write_bytes(C)
    return folder


@pytest.fixture
def store(tmp_path: Path, offered: Path) -> ModelStore:
    """Return a store of a (by path only), b and c (by URL), with nothing on disk."""
    catalogue = catalogue_of(
        ("a", A, "{path: sub/a-file.onnx}"),
        ("b", B, f"{{url: '{(offered / 'b').as_uri()}'}}"),
        ("c", C, f"{{url: '{(offered / 'c').as_uri()}'}}"),
    )
    return ModelStore(catalogue, [tmp_path / "one", tmp_path / "two"], tmp_path / "cache")


def put(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def refusal(call: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(ModelError) as caught:
        call(*args, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert message.endswith((".", "?"))
    return message


def test_find_looks_in_order(store: ModelStore, tmp_path: Path) -> None:
    assert store.find("a") is None
    assert store.status("a") == ModelStatus("a", "missing", None, None)
    assert not store.search_dirs
    cached = put(tmp_path / "cache" / "a.onnx", A)
    assert store.find("a") == cached
    second = put(tmp_path / "two" / "a.onnx", A)
    assert store.find("a") == second
    first = put(tmp_path / "one" / "sub" / "a-file.onnx", A)
    assert store.find("a") == first
    assert store.status("a") == ModelStatus("a", "ok", first, len(A))
    assert store.search_dirs == (tmp_path / "one", tmp_path / "two", tmp_path / "cache")


def test_extra_folders_come_first(store: ModelStore, tmp_path: Path) -> None:
    put(tmp_path / "one" / "a.onnx", A)
    extra = put(tmp_path / "extra" / "a.onnx", A)
    more = ModelStore(
        store.catalogue, [tmp_path / "one"], tmp_path / "cache", extra_dirs=[tmp_path / "extra"]
    )
    assert more.find("a") == extra


def test_an_absolute_path_source(tmp_path: Path) -> None:
    path = put(tmp_path / "anywhere" / "x.bin", A)
    assert ModelStore(catalogue_of(("a", A, f"{{path: {path}}}")), [], tmp_path).find("a") == path


def test_a_model_that_comes_with_the_package_is_found_last(tmp_path: Path) -> None:
    source = "{embedded: pii/weights/lines.onnx}"
    carried = package_file("pii/weights/lines.onnx")
    catalogue = catalogue_of(("a", carried.read_bytes(), source))
    store = ModelStore(catalogue, [tmp_path / "one"], tmp_path / "cache")
    assert store.find("a") == carried
    assert store.resolve(["a"], fetch=False).path == carried
    assert not catalogue["a"].fetchable  # there is nothing to fetch it from
    put(tmp_path / "one" / "a.onnx", B)  # a good file counts, even behind a bad one
    assert store.find("a") == carried
    own = put(tmp_path / "cache" / "a.onnx", carried.read_bytes())
    assert store.find("a") == own


def test_a_damaged_package_is_told_of(tmp_path: Path) -> None:
    catalogue = catalogue_of(("a", A, "{embedded: pii/weights/lines.onnx}"))
    message = refusal(ModelStore(catalogue, [], tmp_path).find, "a")
    assert message.endswith("Install privaedge again.")
    gone = catalogue_of(("a", A, "{embedded: no/such.onnx}"))
    assert ModelStore(gone, [], tmp_path).find("a") is None


def test_a_wrong_hash_is_refused_with_a_remedy(store: ModelStore, tmp_path: Path) -> None:
    path = put(tmp_path / "one" / "b.onnx", A)
    message = refusal(store.find, "b")
    assert str(path) in message
    assert hashlib.sha256(A).hexdigest()[:12] in message
    assert hashlib.sha256(B).hexdigest()[:12] in message
    assert "`privaedge models fetch b --force`" in message
    assert store.status("b") == ModelStatus("b", "wrong hash", path, len(A))
    assert message == refusal(store.fetch, "b")
    assert message == refusal(store.resolve, ["b", "c"])


def test_force_cures_a_wrong_hash_wherever_it_lies(store: ModelStore, tmp_path: Path) -> None:
    put(tmp_path / "one" / "b.onnx", A)
    put(tmp_path / "cache" / "b.onnx", C)
    fetched = store.fetch("b", force=True)
    assert fetched == tmp_path / "cache" / "b.onnx"
    assert fetched.read_bytes() == B
    assert store.find("b") == fetched


def test_a_model_that_cannot_be_fetched_has_another_remedy(
    store: ModelStore, tmp_path: Path
) -> None:
    put(tmp_path / "one" / "a.onnx", B)
    assert "put the right file there" in refusal(store.find, "a")


def test_folders_and_dead_links_are_not_models(store: ModelStore, tmp_path: Path) -> None:
    (tmp_path / "one" / "a.onnx").mkdir(parents=True)
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "a.onnx").symlink_to(tmp_path / "nowhere")
    assert store.find("a") is None


def test_fetch_does_not_fetch_what_is_here(store: ModelStore, tmp_path: Path) -> None:
    path = put(tmp_path / "two" / "b.onnx", B)
    assert store.fetch("b") == path
    assert not (tmp_path / "cache").exists()


def test_unknown_names_are_refused_before_anything_is_done(store: ModelStore) -> None:
    for call in (store.find, store.status, store.fetch):
        assert "not in the model catalogue" in refusal(call, "d")
    assert "not in the model catalogue" in refusal(store.resolve, ["b", "d"])
    assert "no model is named" in refusal(store.resolve, [])


def test_resolve_takes_the_first_on_disk(store: ModelStore, tmp_path: Path) -> None:
    path = put(tmp_path / "one" / "c.onnx", C)
    resolved = store.resolve(["a", "b", "c"], fetch=True)
    entry = store.catalogue["c"]
    assert resolved == ResolvedModel("c", "family-c", path, entry.sha256, entry)
    assert resolved.read_bytes() == C
    put(tmp_path / "one" / "b.onnx", B)
    assert store.resolve(["a", "b", "c"]).name == "b"
    assert not (tmp_path / "cache").exists()


def test_resolve_fetches_in_order_where_none_is_on_disk(
    store: ModelStore, offered: Path, tmp_path: Path
) -> None:
    (offered / "b").unlink()
    seen: list[tuple[str, int, int | None]] = []
    resolved = store.resolve(["a", "b", "c"], True, lambda *report: seen.append(report))
    assert resolved.name == "c"
    assert resolved.path == tmp_path / "cache" / "c.onnx"
    assert resolved.read_bytes() == C
    assert seen[-1] == ("c", len(C), len(C))


def test_resolve_without_any_names_every_reason(store: ModelStore, offered: Path) -> None:
    (offered / "b").unlink()
    (offered / "c").write_bytes(A)
    message = refusal(store.resolve, ["a", "b", "c"])
    assert "a: no source to download it from" in message
    assert "No such file or directory" in message
    assert "c: " in message
    assert "wrong SHA-256" in message
    assert "put one of a.onnx, b.onnx, c.onnx into" in message


def test_resolve_without_fetching_says_how_to_fetch(store: ModelStore, tmp_path: Path) -> None:
    message = refusal(store.resolve, ["a", "b"], fetch=False)
    assert "no model of a, b is on this machine" in message
    assert "`privaedge models fetch b`" in message
    assert "Put a.onnx into" in refusal(store.resolve, ["a"], fetch=False)
    assert not (tmp_path / "cache").exists()


def test_a_path_in_the_preference(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = put(tmp_path / "mine" / "renamed.bin", B)
    resolved = store.resolve([str(known)])
    assert (resolved.name, resolved.family, resolved.path) == ("b", "family-b", known)
    own = put(tmp_path / "mine" / "own.onnx", b"my own")
    resolved = store.resolve(["a", str(own), "c"])
    assert resolved == ResolvedModel(
        "own.onnx", None, own, hashlib.sha256(b"my own").hexdigest(), None
    )
    assert resolved.read_bytes() == b"my own"
    monkeypatch.chdir(own.parent)
    assert store.resolve(["own.onnx"]).path == Path("own.onnx")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert store.resolve(["~/mine/own.onnx"]).path == own


def test_a_path_without_a_file_is_refused_not_passed_over(
    store: ModelStore, tmp_path: Path
) -> None:
    put(tmp_path / "one" / "c.onnx", C)
    assert "does not exist" in refusal(store.resolve, [str(tmp_path / "no.onnx"), "c"])
    assert "is not a file" in refusal(store.resolve, [str(tmp_path / "one"), "c"])


def test_a_file_that_changes_after_it_was_resolved_is_not_used(
    store: ModelStore, tmp_path: Path
) -> None:
    path = put(tmp_path / "one" / "b.onnx", B)
    resolved = store.resolve(["b"])
    path.write_bytes(B[:-1] + b"x")
    assert "changed while it was in use" in refusal(resolved.read_bytes)
    path.unlink()
    assert "cannot be read: No such file" in refusal(resolved.read_bytes)


@settings(max_examples=30, deadline=None)
@given(position=st.integers(0, len(B) - 1), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
) -> None:
    folder = tmp_path_factory.getbasetemp() / "flipped"
    damaged = bytearray(B)
    damaged[position] ^= 1 << bit
    put(folder / "b.onnx", bytes(damaged))
    store = ModelStore(catalogue_of(("b", B, "{path: b.onnx}")), [folder], folder)
    assert store.status("b").state == "wrong hash"


def test_what_may_not_be_read(store: ModelStore, tmp_path: Path) -> None:
    path = put(tmp_path / "one" / "b.onnx", B)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read everything")
    assert "Give this user read permission" in refusal(store.find, "b")
    path.parent.chmod(0)
    try:
        assert store.find("b") is None
    finally:
        path.parent.chmod(0o755)


def test_default_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = tmp_path / "box"
    monkeypatch.setattr(model_store, "SYSTEM_DIR", box)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.setenv("PRIVAEDGE_MODELS", f"{tmp_path / 'm1'}{os.pathsep}{tmp_path / 'm2'}")
    cache = tmp_path / "xdg" / "privaedge" / "models"
    assert default_cache_dir() == cache
    checkout = Path(model_store.__file__).parent.parent
    assert default_search_dirs(cache) == (
        tmp_path / "m1",
        tmp_path / "m2",
        cache,
        box,
        checkout / "engines",
    )
    box.mkdir()
    assert default_cache_dir() == box
    store = ModelStore(load_catalogue())
    assert store.cache_dir == box
    assert box in store.search_dirs
    assert tmp_path / "m1" not in store.search_dirs


def test_the_real_models_are_found_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shared_file("models/face_yunet_n.onnx")
    monkeypatch.setenv("PRIVAEDGE_MODELS", str(path.parent))
    store = ModelStore(load_catalogue(), cache_dir=tmp_path)
    resolved = store.resolve(["yunet-n", "centerface"], fetch=False)
    assert (resolved.name, resolved.family, resolved.path) == ("yunet-n", "yunet", path)
    assert len(resolved.read_bytes()) == path.stat().st_size
    assert store.status("mobilefacenet").state == "ok"
