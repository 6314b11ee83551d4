"""Settings: profiles, merging, and what is refused with which remedy."""

from __future__ import annotations

import json
import os
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from edge.config import (
    DEFAULT_CRF,
    Audio,
    Blur,
    Delay,
    FaceModel,
    Models,
    Runtime,
    Scheduler,
    Settings,
    Stabilization,
    Video,
    VideoEncoder,
    VideoModels,
)
from edge.config_io import (
    ConfigProblemsError,
    available_profiles,
    dump_yaml,
    load_config,
    nearest_key,
    parse_settings,
)
from edge.config_lanes import OwnDetector, TextModel
from edge.config_schema import config_schema, keys, sections
from edge.config_yaml import MAX_BYTES
from edge.errors import ConfigError, ExitCode
from edge.pii.spans import Kind
from edge.resources import config_dir

PROFILES = ("balanced", "high_privacy", "performance", "streaming")


def refused(text: str, origin: str = "my.yaml") -> str:
    """Return the one line that a text is refused with."""
    with pytest.raises(ConfigError) as caught:
        parse_settings(text, origin)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == ExitCode.CONFIG
    return message


def refused_set(*overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


def outcome(text: str) -> str:
    """Return the line that a text is refused with, or nothing where it is accepted."""
    try:
        parse_settings(text, "my.yaml")
    except ConfigError as error:
        return str(error)
    return ""


# --- profiles -------------------------------------------------------------------------------


def test_the_four_profiles_are_there() -> None:
    assert available_profiles() == PROFILES


@pytest.mark.parametrize("name", PROFILES)
def test_each_profile_loads_under_its_own_name(name: str) -> None:
    assert load_config(name).profile == name


def test_balanced_is_the_defaults_and_the_default() -> None:
    assert load_config("balanced") == Settings() == load_config()


def test_high_privacy_hides_at_least_what_balanced_hides() -> None:
    strict, usual = load_config("high_privacy"), load_config("balanced")
    assert strict.scheduler.target_fps >= 2 * usual.scheduler.target_fps
    assert strict.scheduler.max_travel <= usual.scheduler.max_travel
    assert strict.stabilization.k_confirm <= usual.stabilization.k_confirm
    assert strict.stabilization.k_hold >= usual.stabilization.k_hold
    assert strict.blur.type == "solid"
    assert strict.blur.pad > usual.blur.pad
    assert strict.video.models.face.conf is not None
    assert strict.video.models.text.threshold < usual.video.models.text.threshold
    assert set(strict.video.models.text.hide) > set(usual.video.models.text.hide)
    assert strict.video.models.text.hide_unread
    assert strict.audio.threshold < usual.audio.threshold
    assert set(strict.audio.hide) > set(usual.audio.hide)
    assert strict.audio.without_lane == "drop"


def test_streaming_encodes_at_a_bitrate() -> None:
    encoder = load_config("streaming").video.encoder
    assert encoder.bitrate == 4_000_000
    assert encoder.rate_factor is None
    assert load_config().video.encoder.rate_factor == DEFAULT_CRF


@pytest.mark.parametrize("name", PROFILES)
def test_profile_files_point_editors_to_the_schema_and_state_only_differences(name: str) -> None:
    text = (config_dir() / f"{name}.yaml").read_text(encoding="utf-8")
    first, _, _ = text.partition("\n")
    assert first == "# yaml-language-server: $schema=./schema.json"
    assert parse_settings(text) == load_config(name)


# --- schema ---------------------------------------------------------------------------------


def test_schema_file_is_up_to_date() -> None:
    expected = json.dumps(config_schema(), indent=2) + "\n"
    assert (config_dir() / "schema.json").read_text(encoding="utf-8") == expected, (
        "configs/schema.json is stale; run: privaedge config schema > configs/schema.json"
    )


def test_schema_describes_every_key_and_forbids_others() -> None:
    schema = config_schema()
    for definition in [schema, *schema["$defs"].values()]:
        assert definition["additionalProperties"] is False
        for name, entry in definition["properties"].items():
            assert "default" in entry or name in definition.get("required", ()), name
            if "$ref" not in entry:
                assert len(entry["description"]) > 5, name
        assert len(definition["description"]) > 5


def _schema_allows(schema: dict[str, Any], value: Any, root: dict[str, Any]) -> bool:
    """Judge a value by the part of JSON Schema that our schema uses."""
    if "$ref" in schema:
        return _schema_allows(root["$defs"][schema["$ref"].rpartition("/")[2]], value, root)
    if "anyOf" in schema:
        return any(_schema_allows(branch, value, root) for branch in schema["anyOf"])
    if "const" in schema and value != schema["const"]:
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    kinds: dict[str, type | tuple[type, ...]] = {
        "object": dict,
        "array": list,
        "string": str,
        "boolean": bool,
        "integer": int,
        "number": (int, float),
        "null": type(None),
    }
    kind = schema.get("type")
    if kind and not isinstance(value, kinds[kind]):
        return False
    if kind in ("integer", "number"):
        return (
            not isinstance(value, bool)
            and schema.get("minimum", value) <= value <= schema.get("maximum", value)
            and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
            and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
        )
    if kind == "array":
        return len(value) >= schema.get("minItems", 0) and all(
            _schema_allows(schema["items"], item, root) for item in value
        )
    if kind == "object":
        known = schema["properties"]
        return all(k in known and _schema_allows(known[k], v, root) for k, v in value.items())
    return True


@pytest.mark.parametrize("name", PROFILES)
def test_profile_files_satisfy_the_schema(name: str) -> None:
    schema = config_schema()
    stated = yaml.safe_load((config_dir() / f"{name}.yaml").read_text(encoding="utf-8"))
    assert _schema_allows(schema, stated, schema)
    assert not _schema_allows(schema, {**stated, "blurr": {}}, schema)
    assert _schema_allows(schema, yaml.safe_load(dump_yaml(load_config(name))), schema)


# --- merging --------------------------------------------------------------------------------


def test_file_goes_over_profile_and_set_over_file(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("blur:\n  pad: 0.5\n  cells: 4\n", encoding="utf-8")
    merged = load_config("high_privacy", file, ["blur.cells=3", "blur.cells=2"])
    assert merged.blur.type == "solid"
    assert merged.blur.pad == 0.5
    assert merged.blur.cells == 2


def test_a_file_may_name_the_profile_it_builds_on(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("profile: high_privacy\n", encoding="utf-8")
    assert load_config(config_file=file) == load_config("high_privacy")
    assert load_config("streaming", file) == load_config("streaming")
    assert load_config(overrides=["profile=streaming"]) == load_config("streaming")
    file.write_text("profile: high_privcy\n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"high_privcy .*line 1.*Did you mean high_privacy\?"):
        load_config(config_file=file)


def test_a_chosen_quality_replaces_the_profile_s_bitrate_and_the_reverse() -> None:
    encoder = load_config("streaming", overrides=["video.encoder.crf=18"]).video.encoder
    assert (encoder.crf, encoder.bitrate) == (18, None)
    assert "exclude each other" in refused_set("video.encoder.crf=18", "video.encoder.bitrate=4M")
    assert "exclude each other" in refused("video:\n  encoder:\n    crf: 1\n    bitrate: 4M\n")


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("video.models.face.model=centerface", "video.models.face.model", ("centerface",)),
        ("video.models.face.model=[a, /x/b.onnx]", "video.models.face.model", ("a", "/x/b.onnx")),
        ("video.models.face.conf=null", "video.models.face.conf", None),
        ("video.models.face.conf=2e-1", "video.models.face.conf", 0.2),
        ("video.encoder.bitrate=2500k", "video.encoder.bitrate", 2_500_000),
        ("video.encoder.bitrate=1.5M", "video.encoder.bitrate", 1_500_000),
        ("scheduler.refine=false", "scheduler.refine", 0),
        ("blur={watermark: on}", "blur.watermark", True),
        (" delay.seconds =9", "delay.seconds", 9.0),
    ],
)
def test_override_values(override: str, path: str, value: object) -> None:
    found: object = load_config(overrides=[override])
    for name in path.split("."):
        found = getattr(found, name)
    assert found == value


def test_empty_file_and_empty_sections_change_nothing() -> None:
    assert parse_settings("") == Settings()
    assert parse_settings("# nothing\nblur:\nvideo:\n  models:\n") == Settings()


def test_byte_order_mark_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_bytes(b"\xef\xbb\xbfblur: {type: solid}\n")
    assert load_config(config_file=file).blur.type == "solid"


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().blur.pad = 0.0


# --- what is refused ------------------------------------------------------------------------


def test_unknown_key_names_file_line_and_nearest_key() -> None:
    message = refused("# hello\nblur:\n  typ: solid\n")
    assert message == "unknown key blur.typ in my.yaml line 3. Did you mean blur.type?"


def test_all_problems_are_counted_and_kept() -> None:
    text = "blur:\n  typ: 1\n  cells: 99\naudo: 1\n"
    with pytest.raises(
        ConfigProblemsError, match=r"^unknown key blur\.typ .* \(and 2 more\)$"
    ) as e:
        parse_settings(text, "my.yaml")
    assert [p.split(" in ")[0] for p in e.value.problems] == [
        "unknown key blur.typ",
        "unknown key audo",
        "blur.cells",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("blur: 3", "blur in my.yaml line 1 is a section, not a value"),
        ("blur: {type: slid}", "Did you mean solid?"),
        ("blur: {cells: 9}", "it must be at most 8."),
        ("blur: {cells: 2.5}", "it must be a whole number."),
        ("blur: {cells: '4'}", "it must be a whole number."),
        ("blur: {cells: true}", "it must be a whole number."),
        ("blur: {cells: }", "blur.cells in my.yaml line 1 is null"),
        ("blur: {pad: .nan}", "it must be a finite number."),
        ("blur: {pad: .inf}", "it must be"),
        ("blur: {pad: -1}", "it must be at least 0."),
        ("blur: {watermark: 1}", "it must be true or false."),
        ("blur: {type: {a: b}}", "is a section; it must be 'mosaic'"),
        ("video: {models: {face: {conf: 0}}}", "it must be above 0."),
        ("video: {models: {face: {conf: 1}}}", "it must be below 1."),
        ("video: {models: {face: {model: []}}}", "it must name at least one."),
        ("video: {models: {face: {model: [Some Thing]}}}", "privaedge models list"),
        ("video: {encoder: {bitrate: fast}}", "such as 4M"),
        ("video: {encoder: {bitrate: 12}}", "it must be at least 50000."),
        ("video: {encoder: {codec: mpeg2video}}", "it must be 'auto', 'libx264', 'libx265'"),
        (
            "audio: {enabled: true}\ndelay: {seconds: 6}",
            "Raise delay.seconds to at least 7, lower chunk_seconds",
        ),
        (
            "delay: {seconds: 1.2}\nstabilization: {lookahead_s: 0}\n"
            "video: {models: {text: {target_fps: 1}}}",
            "before they are read",
        ),
        ("scheduler: {target_fps: 30}", "Raise scheduler.max_fps to at least 30"),
        ("delay: {seconds: 1.2}", "Raise delay.seconds to at least 1.5"),
        ("scheduler: {target_fps: 1}\ndelay: {seconds: 2}", "Raise delay.seconds to at least 3"),
        ("blur.type: solid", "Nest it: blur: {type: …}."),
        ("- a\n- b", "my.yaml is not a mapping"),
        ("just words", "my.yaml is not a mapping"),
        ("blur:\n  type: solid\n  type: mosaic", "blur.type in my.yaml line 3 is stated for the"),
        ("blur: {pad: 0}\nblur: {pad: 1}", "blur in my.yaml line 2 is stated for the second time"),
        ("blur:\n\ttype: solid", "my.yaml line 2, column 1 is not valid YAML"),
        ("blur: {type: solid", "is not valid YAML"),
        ("a: &a [x]\nb: *a", "my.yaml line 2 has an alias"),
        ("a: 1\n---\nb: 2", "line 2 starts a second document"),
        ("[" * 1000, "nested too deeply"),
        ("x: [" + "1," * 20_000 + "]", "too many values"),
        ("? [a, b]\n: c", "has a key that is no text"),
        ("blur: {pad: !!python/object/apply:os.system [id]}", "blur.pad in my.yaml"),
        ("blur: {pad: !!binary aGk=}", "Remove the tag"),
        ('blur: {type: "\\UFFFFFFFF"}', "escape sequence"),
        ('models: {search_paths: ["\\uD800"]}', "models.search_paths in my.yaml"),
        ("blur: {type: \x07}", "control characters"),
        ("models: {search_paths: ['']}", "it must not be empty."),
    ],
)
def test_refused_with_the_remedy(text: str, expected: str) -> None:
    assert expected in refused(text)


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a0: &a0 [x, x]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    assert "alias" in refused("\n".join(lines))


def test_set_without_equals_does_not_repeat_its_text() -> None:
    for text in ("rtmp://live.example/app/SECRET", "rtmp://live.example/app?key=SECRET", "=SECRET"):
        message = refused_set(text)
        assert "SECRET" not in message
        assert "--set blur.type=solid" in message


def test_set_names_itself_and_the_nearest_key() -> None:
    assert refused_set("blur.typ=solid") == "unknown key blur.typ in --set. Did you mean blur.type?"
    assert "scheduler.target_fps" in refused_set("target_fps=3")
    assert "video.models.face.conf" in refused_set("conf=0.2")
    assert "--set blur.type line 1" in refused_set("blur.type=@")


@pytest.mark.parametrize(
    "name", ["../balanced", "models", "", "/etc/passwd", "balancd", "a\x1b[2J"]
)
def test_unknown_profile_names_those_there_are(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(name)
    message = str(caught.value)
    assert "balanced, high_privacy, performance, streaming" in message
    assert message.isprintable()
    assert ("Did you mean balanced?" in message) == (name in ("balancd", "../balanced"))


def test_files_that_cannot_be_configs(tmp_path: Path) -> None:
    binary = tmp_path / "clip.mp4"
    binary.write_bytes(bytes(range(256)))
    utf16 = tmp_path / "windows.yaml"
    utf16.write_bytes("blur: {type: solid}".encode("utf-16"))
    large = tmp_path / "large.yaml"
    large.write_bytes(b"#" * (MAX_BYTES + 1))
    for path, expected in [
        (tmp_path / "nope.yaml", "does not exist"),
        (tmp_path, "is a folder"),
        (binary, "not UTF-8 text"),
        (utf16, "not UTF-8 text"),
        (large, "larger than 1 MB"),
        (Path("a\0b"), "cannot be read"),
        (Path("x" * 5000), "cannot be read"),
        (binary / "below", "cannot be read"),
    ]:
        with pytest.raises(ConfigError, match=expected) as caught:
            load_config(config_file=path)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 400


def test_unreadable_file(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("blur: {}\n", encoding="utf-8")
    file.chmod(0)
    user = os.geteuid()
    if user == 0:  # root may read everything: become nobody meanwhile
        os.seteuid(65534)
    try:
        with pytest.raises(ConfigError, match="may not be read"):
            load_config(config_file=file)
    finally:
        os.seteuid(user)


# --- properties -----------------------------------------------------------------------------

_floats = st.floats  # bounds given below are the model's own
_names = st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True)
_texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


@st.composite
def any_settings(draw: st.DrawFn) -> Settings:
    target = draw(_floats(0.5, 60))
    lookahead = draw(_floats(0, 10))
    least = lookahead + 2 / target
    least = max(least, 7.0)  # for speech, and for text, however seldom that is looked for
    rate = draw(st.sampled_from(["crf", "bitrate", "neither"]))
    presets = ["ultrafast", "veryfast", "medium", "veryslow"]
    return Settings(
        profile=draw(st.sampled_from(PROFILES)),
        scheduler=Scheduler(
            target_fps=target,
            max_fps=draw(_floats(target, 120)),
            max_travel=draw(_floats(0, 1, exclude_min=True)),
            refine=draw(st.integers(0, 8)),
        ),
        delay=Delay(
            seconds=draw(st.none() | _floats(least, 60)), stall_timeout_s=draw(_floats(0.1, 600))
        ),
        video=Video(
            models=VideoModels(
                face=FaceModel(
                    enabled=draw(st.booleans()),
                    conf=draw(st.none() | _floats(0, 1, exclude_min=True, exclude_max=True)),
                    model=tuple(
                        draw(
                            st.lists(
                                _names | _texts.map(lambda t: t + ".onnx"), min_size=1, max_size=4
                            )
                        )
                    ),
                    input_size=draw(st.integers(160, 4096)),
                ),
                text=TextModel(
                    enabled=draw(st.booleans()),
                    target_fps=draw(_floats(0.5, 60)),
                    threshold=draw(_floats(0, 1, exclude_min=True)),
                    hide=tuple(draw(st.lists(st.sampled_from(list(Kind)), unique=True))),
                ),
                own=draw(st.sampled_from([(), (OwnDetector(name="tattoos", conf=0.4),)])),
            ),
            encoder=VideoEncoder(
                preset=draw(st.sampled_from(presets)),
                crf=draw(st.integers(0, 51)) if rate == "crf" else None,
                bitrate=draw(st.integers(50_000, 200_000_000)) if rate == "bitrate" else None,
                keyframe_interval_s=draw(_floats(0.1, 30)),
                threads=draw(st.integers(0, 128)),
            ),
        ),
        stabilization=Stabilization(
            k_confirm=draw(st.integers(1, 10)),
            k_hold=draw(st.integers(0, 300)),
            iou_thresh=draw(_floats(0, 1, exclude_min=True, exclude_max=True)),
            lookahead_s=lookahead,
        ),
        blur=Blur(
            type=draw(st.sampled_from(["mosaic", "gaussian", "solid"])),
            shape=draw(st.sampled_from(["ellipse", "rectangle"])),
            pad=draw(_floats(0, 2)),
            min_pad_px=draw(st.integers(0, 200)),
            cells=draw(st.integers(2, 8)),
            watermark=draw(st.booleans()),
        ),
        audio=Audio(without_lane=draw(st.sampled_from(["pass", "drop"]))),
        models=Models(
            search_paths=tuple(draw(st.lists(_texts, max_size=3))), fetch=draw(st.booleans())
        ),
        runtime=Runtime(
            threads=draw(st.integers(0, 256)), device=draw(st.sampled_from(["auto", "cpu"]))
        ),
    )


@settings(max_examples=100, deadline=None)
@given(any_settings())
def test_any_settings_survive_dump_and_load(chosen: Settings) -> None:
    assert parse_settings(dump_yaml(chosen)) == chosen


@pytest.mark.parametrize(
    "text",
    [
        "1e5",
        "12:30",
        "yes",
        "null",
        "~",
        "010",
        "0x1F",
        "2024-01-01",
        "=",
        "<<",
        "a: b",
        "# no",
        "- x",
        " ",
        "*a",
        "&a",
        "é",
        "\n",
        "\x85",
        "\u2028",
        "\ufeff",
        "\U0001f600",
    ],
)
def test_texts_that_look_like_something_else_survive(text: str) -> None:
    chosen = Settings(models=Models(search_paths=(text,)))
    assert parse_settings(dump_yaml(chosen)) == chosen


@pytest.mark.parametrize("name", PROFILES)
def test_a_dumped_profile_loads_as_a_config_file(tmp_path: Path, name: str) -> None:
    file = tmp_path / "shown.yaml"
    file.write_text(dump_yaml(load_config(name)), encoding="utf-8")
    assert load_config(config_file=file) == load_config(name)


@st.composite
def typos(draw: st.DrawFn) -> tuple[str, str]:
    """A known key and the same with one character of its last name changed, lost or added."""
    right = draw(st.sampled_from(keys()))
    start = right.rfind(".") + 1
    at = draw(st.integers(start, len(right) - 1))
    letter = draw(st.sampled_from(string.ascii_lowercase + "_"))
    kind = draw(st.sampled_from(["change", "lose", "add", "swap"]))
    if kind == "change":
        wrong = right[:at] + letter + right[at + 1 :]
    elif kind == "lose":
        wrong = right[:at] + right[at + 1 :]
    elif kind == "add":
        wrong = right[:at] + letter + right[at:]
    else:
        wrong = right[:at] + right[at + 1 : at + 2] + right[at] + right[at + 2 :]
    return right, wrong


@settings(max_examples=300, deadline=None)
@given(typos())
@example(("video.models.face.model", "video.models.face.models"))
def test_a_typo_is_refused_and_the_right_key_suggested(typo: tuple[str, str]) -> None:
    right, wrong = typo
    if wrong == right:
        return
    outer, _, last = wrong.rpartition(".")
    text = f"{last}: 1\n"
    for name in reversed(outer.split(".") if outer else []):
        text = f"{name}:\n" + "".join(f"  {line}\n" for line in text.splitlines())
    message = refused(text)
    assert message.startswith("unknown key ")
    assert message.endswith(f"Did you mean {right}?")


def test_a_typo_in_a_section_is_refused_too() -> None:
    for path in sections():
        for at in range(len(path)):
            wrong = path[:at] + path[at + 1 :]
            if wrong not in sections() and wrong:
                assert nearest_key(wrong) == path


@settings(max_examples=150, deadline=None)
@given(
    st.text(st.characters(), max_size=80) | st.binary(max_size=80).map(lambda b: b.decode("latin1"))
)
@example('"\\UFFFFFFFF"')
@example("%YAML 99999999.1\n---\na")
@example("\ud800")
@example("!<tag:yaml.org,2002:int> x")
def test_garbage_gives_settings_or_one_line(text: str) -> None:
    message = outcome(text)
    assert "\n" not in message
    assert message.encode("utf-8") or not message


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=6) | st.sampled_from(["type", "seconds"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from([*keys(), *(s for s in sections() if s)]), _values)
def test_any_value_of_any_key_gives_settings_or_one_line(path: str, value: object) -> None:
    text = yaml.safe_dump({"x": value}, allow_unicode=True)
    tree: object = yaml.safe_load(text)["x"]
    for name in reversed(path.split(".")):
        tree = {name: tree}
    message = outcome(yaml.safe_dump(tree, allow_unicode=True))
    assert "\n" not in message
    assert message.encode("utf-8") or not message


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40))
def test_any_override_gives_settings_or_one_line(text: str) -> None:
    for override in (text, f"blur.type={text}", f"models.search_paths={text}"):
        message = ""
        try:
            load_config(overrides=[override])
        except ConfigError as error:
            message = str(error)
        assert "\n" not in message
        assert message.encode("utf-8") or not message
