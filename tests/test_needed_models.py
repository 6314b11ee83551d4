"""Fetching beforehand what a run needs, from models that this machine has, by file:// URL."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from edge.catalogue import Catalogue, UrlSource, load_catalogue
from edge.config import Settings
from edge.errors import ModelError
from edge.model_store import ModelStore
from edge.needed_models import fetch_needed, files_of
from tests.support import SHARED

SPEECH = tuple(f"moonshine-tiny-en-{part}" for part in ("encoder", "decoder", "tokenizer"))
TEXT = ("ppocr-v4-det", "ppocr-v4-rec", "ppocr-v4-cls")
OFF = {"enabled": False}


def offering(names: Iterable[str], cache: Path) -> ModelStore:
    """A store with an empty cache, to which these models are offered by file:// URL."""
    here = ModelStore(load_catalogue(), extra_dirs=[SHARED / "models"])
    entries = {}
    for name in names:
        path = here.find(name)
        if path is None:
            pytest.skip(f"model {name} is not on this machine")
        source = UrlSource(url=path.as_uri())
        entries[name] = here.catalogue[name].model_copy(update={"sources": (source,)})
    return ModelStore(Catalogue(models=entries), [cache], cache)


def settings(**sections: object) -> Settings:
    return Settings.model_validate({"models": {"fetch": False}, **sections})


def fetched(store: ModelStore) -> set[str]:
    return {name for name in store.catalogue.names() if store.status(name).state == "ok"}


def test_all_that_the_lanes_need_is_fetched(tmp_path: Path) -> None:
    names = ("yunet-n", "mobilefacenet", "plate-hyperlpr", *TEXT, "silero-vad", *SPEECH)
    store = offering(names, tmp_path)
    chosen = settings(
        audio={"model": "moonshine-tiny-en"},
        video={
            "models": {"face": {"model": "yunet-n"}, "plate": {"model": "plate-hyperlpr"}},
            "whitelist": {"enabled": True},
        },
    )
    seen: list[str] = []
    paths, notes = fetch_needed(chosen, store, lambda name, *_: seen.append(name))
    assert fetched(store) == set(names) == set(seen)
    assert {path.name for path in paths} == {store.catalogue[name].file for name in names}
    assert notes == []
    seen.clear()
    assert fetch_needed(chosen, store, lambda name, *_: seen.append(name)) == (paths, [])
    assert seen == []


def test_lanes_that_are_off_need_nothing(tmp_path: Path) -> None:
    store = offering(["yunet-n", "mobilefacenet"], tmp_path)
    chosen = settings(
        audio=OFF,
        video={"models": {"face": {"model": "yunet-n"}, "plate": OFF, "text": OFF}},
    )
    fetch_needed(chosen, store)
    assert fetched(store) == {"yunet-n"}


def test_plates_that_text_stands_in_for_are_a_note(tmp_path: Path) -> None:
    store = offering(["yunet-n", *TEXT], tmp_path)
    missing = store.catalogue["yunet-n"].model_copy(
        update={
            "name": "plates",
            "file": "plates.onnx",
            "sha256": "0" * 64,
            "task": "plate-detection",
            "sources": (UrlSource(url=(tmp_path / "none.onnx").as_uri()),),
        }
    )
    store = ModelStore(
        Catalogue(models={**store.catalogue.models, "plates": missing}), [tmp_path], tmp_path
    )
    models = {"face": {"model": "yunet-n"}, "plate": {"model": "plates"}}
    _, (note,) = fetch_needed(settings(audio=OFF, video={"models": models}), store)
    assert "the text lane stands in" in note
    with pytest.raises(ModelError, match="plates"):
        fetch_needed(settings(audio=OFF, video={"models": {**models, "text": OFF}}), store)


def test_a_speech_model_stands_for_its_files(tmp_path: Path) -> None:
    store = ModelStore(load_catalogue(), [tmp_path], tmp_path)
    assert files_of("moonshine-tiny-en", store) == SPEECH
    assert files_of("centerface", store) == ("centerface",)
    assert files_of("nothing", store) == ("nothing",)
