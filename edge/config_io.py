"""Load settings: profile, then config file, then --set, each over the one before.

Whatever is wrong in them becomes one ConfigError: one line with the cause, where it stands, and
what to do. Nothing is ignored, since a misspelt key that is skipped leaves a face on the air.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from edge.config import Settings
from edge.config_schema import keys, sections
from edge.config_yaml import Mapping, dump, parse, printable, read_text
from edge.errors import ConfigError
from edge.resources import config_dir

DEFAULT_PROFILE: Final = "balanced"
_NOT_PROFILES: Final = frozenset({"models"})
"""Other YAML files beside the profiles: the model catalogue."""

_SECTIONS: Final = sections()
_KEYS: Final = keys()
_KNOWN: Final = tuple(path for path in _SECTIONS if path) + _KEYS
_EXCLUSIVE: Final = (("video.encoder.crf", "video.encoder.bitrate"),)
"""Settings of which a later layer's choice replaces an earlier layer's choice of the other."""
_OVERRIDE: Final = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_.-]{0,200})\s*=(.*)", re.DOTALL)


class ConfigProblemsError(ConfigError):
    """One or more problems in a config; the message is the first one and how many follow."""

    def __init__(self, problems: Sequence[str]) -> None:
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        super().__init__(problems[0] + more)
        self.problems = tuple(problems)
        """All of them, one line each."""


@dataclass(slots=True)
class _Layer:
    """Stated settings by dotted path, with where each was stated, and what is wrong with them."""

    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def state(self, path: str, value: Any, origin: str) -> None:
        self.values[path] = value
        self.origins[path] = origin

    def put_over(self, later: _Layer) -> None:
        """Merge a later layer over this one."""
        for group in _EXCLUSIVE:
            chosen = [path for path in group if later.values.get(path) is not None]
            if chosen:
                for path in group:
                    self.values.pop(path, None)
        self.values |= later.values
        self.origins |= later.origins
        self.problems += later.problems


def available_profiles() -> tuple[str, ...]:
    """Return the names of the profiles that are installed, sorted."""
    return tuple(sorted(p.stem for p in config_dir().glob("*.yaml") if p.stem not in _NOT_PROFILES))


def load_config(
    profile: str | None = None,
    config_file: str | Path | None = None,
    overrides: Iterable[str] = (),
) -> Settings:
    """Load a profile, merge a config file and then key=value overrides over it.

    profile None means what an override or the config file names under `profile`, else balanced:
    a file that says `profile: high_privacy` builds on that one. The same key in two overrides:
    the later one counts. Raises ConfigError (ConfigProblemsError where there may be several).
    """
    override_layer = _override_layer(overrides)
    file_layer = _Layer()
    if config_file is not None:
        path = Path(config_file)
        file_layer = _file_layer(read_text(path), printable(str(path), 200))

    return _merge(profile, file_layer, override_layer)


def settings_within(
    tree: Mapping,
    origin: str,
    profile: str | None = None,
    *,
    over: dict[str, Any] | None = None,
    over_origin: str = "",
) -> Settings:
    """Merge settings that are a part of a larger YAML file over a profile, as load_config does.

    origin names the file in messages. over: plain values by dotted path that count more than the
    file's, and what messages call them. Raises ConfigError.
    """
    layer, later = _Layer(), _Layer()
    _flatten(tree, "", origin, layer)
    for path, value in (over or {}).items():
        if path in _KEYS and path != "profile":
            later.state(path, value, over_origin)
        else:
            later.problems.append(f"unknown key {_shown(path)} in {over_origin}. {_remedy(path)}")
    return _merge(profile, layer, later)


def parse_settings(text: str, origin: str = "config") -> Settings:
    """Validate the text of a config over the defaults, without reading any file.

    Raises ConfigError.
    """
    return _validate(_file_layer(text, origin))


def dump_yaml(settings: Settings) -> str:
    """Write all settings as YAML; load_config reads the same settings back."""
    return dump(settings.model_dump(mode="json"))


def _merge(profile: str | None, file_layer: _Layer, override_layer: _Layer) -> Settings:
    name, origin = profile, ""
    for layer in (override_layer, file_layer):
        stated = layer.values.pop("profile", None)
        if name is None and stated is not None:
            name, origin = stated, f" (in {layer.origins['profile']})"
    if name is None:
        name = DEFAULT_PROFILE

    merged = _profile_layer(name, origin)
    merged.put_over(file_layer)
    merged.put_over(override_layer)
    return _validate(merged)


def _profile_layer(name: object, origin: str) -> _Layer:
    profiles = available_profiles()
    if not isinstance(name, str) or name not in profiles:
        if not profiles:
            raise ConfigError(f"no profiles in {config_dir()}. Reinstall privaedge.")
        near = difflib.get_close_matches(str(name), profiles, 1, 0.5)
        guess = f" Did you mean {near[0]}?" if near else ""
        raise ConfigError(
            f"unknown profile {printable(str(name), 60)}{origin}. "
            f"There are {', '.join(profiles)}.{guess}"
        )
    path = config_dir() / f"{name}.yaml"
    layer = _file_layer(read_text(path), path.name)
    layer.state("profile", name, path.name)
    return layer


def _file_layer(text: str, origin: str) -> _Layer:
    tree = parse(text, origin)
    layer = _Layer()
    if isinstance(tree, Mapping):
        for path, line in tree.doubled:
            layer.problems.append(
                f"{_shown('.'.join(path))} in {origin} line {line} is stated for the second time. "
                "Remove one of the two."
            )
        _flatten(tree, "", origin, layer)
    elif tree is not None:
        layer.problems.append(
            f"{origin} is not a mapping. Write settings as 'section:' and 'key: value'."
        )
    return layer


def _override_layer(overrides: Iterable[str]) -> _Layer:
    layer = _Layer()
    for text in overrides:
        match = _OVERRIDE.fullmatch(text)
        if match is None:
            # The text itself is not repeated: it may be a URL with a stream key in the wrong place.
            layer.problems.append("--set needs key=value. Write it like --set blur.type=solid.")
            continue
        path, origin = match[1], f"--set {match[1]}"
        value = parse(match[2], origin)
        if path in _SECTIONS:
            _descend(value, path, "--set", "--set", layer)
        elif path in _KEYS:
            layer.state(path, _strip(value), "--set")
        else:
            layer.problems.append(f"unknown key {_shown(path)} in --set. {_remedy(path)}")
    return layer


def _flatten(tree: Mapping, prefix: str, origin: str, layer: _Layer) -> None:
    for key, (value, line) in tree.entries.items():
        path = f"{prefix}.{key}" if prefix else key
        where = f"{origin} line {line}"
        if "." not in key and path in _SECTIONS:
            _descend(value, path, origin, where, layer)
        elif "." not in key and path in _KEYS:
            layer.state(path, _strip(value), where)
        elif path in _KNOWN:
            layer.problems.append(
                f"key {_shown(path)} in {where} is written with dots. "
                f"Nest it: {': {'.join(path.split('.'))}: …{'}' * path.count('.')}."
            )
        else:
            layer.problems.append(f"unknown key {_shown(path)} in {where}. {_remedy(path)}")


def _descend(value: Any, path: str, origin: str, where: str, layer: _Layer) -> None:
    if isinstance(value, Mapping):
        _flatten(value, path, origin, layer)
    elif value is not None:  # a section whose keys are all commented out is fine
        example = next(iter(_SECTIONS[path].model_fields))
        layer.problems.append(
            f"{path} in {where} is a section, not a value. "
            f"Put keys under it, such as {path}.{example}."
        )


def _strip(value: Any) -> Any:
    """Turn Mappings below a setting into plain dicts, so that validation can name them."""
    if isinstance(value, Mapping):
        return {key: _strip(inner) for key, (inner, _) in value.entries.items()}
    return [_strip(item) for item in value] if isinstance(value, list) else value


def _remedy(path: str) -> str:
    guess = nearest_key(path)
    if guess is not None:
        return f"Did you mean {guess}?"
    return "'privaedge config show' lists all keys."


def nearest_key(path: str) -> str | None:
    """Return the known dotted path that was most likely meant, or None where nothing is near."""
    path = path[:200]
    if near := difflib.get_close_matches(path, _KNOWN, 1, 0.8):
        return near[0]
    tails = [known for known in _KNOWN if known.rpartition(".")[2] == path.rpartition(".")[2]]
    if tails:  # right name, wrong section
        return max(tails, key=lambda known: difflib.SequenceMatcher(None, known, path).ratio())
    near = difflib.get_close_matches(path, _KNOWN, 1, 0.6)
    return near[0] if near else None


def _shown(path: str) -> str:
    return printable(path) or "(empty)"


def _validate(layer: _Layer) -> Settings:
    nested: dict[str, Any] = {}
    for path, value in layer.values.items():
        *outer, last = path.split(".")
        level = nested
        for name in outer:
            level = level.setdefault(name, {})
        level[last] = value
    details: list[ErrorDetails] = []
    try:
        settings = Settings.model_validate(nested)
    except ValidationError as error:
        details = error.errors(include_url=False)
    else:
        if not layer.problems:
            return settings
    problems = {problem: problem for problem in layer.problems}
    for detail in details:
        path = _setting_of(detail["loc"])
        if path in _SECTIONS and layer.problems:
            continue  # a contradiction may come only from a setting that could not be read
        problems.setdefault(path, _problem(path, detail, layer))  # of a union, the first branch
    raise ConfigProblemsError(list(problems.values()))


def _setting_of(loc: tuple[int | str, ...]) -> str:
    """Return the dotted path of the setting in pydantic's location, without what is inside it."""
    path = ""
    for part in loc:
        longer = f"{path}.{part}" if path else str(part)
        if longer not in _KNOWN:
            break
        path = longer
    return path


def _problem(path: str, detail: ErrorDetails, layer: _Layer) -> str:
    if path in _SECTIONS:  # settings that contradict each other: the message names them all
        return str(detail["ctx"]["error"]) if "ctx" in detail else detail["msg"]
    where = f" in {layer.origins[path]}" if path in layer.origins else ""
    value = _value_text(layer.values.get(path))
    return f"{path}{where} is {value}; {requirement(detail)}"


def _value_text(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a section"
    return printable(f"'{value}'" if isinstance(value, str) else str(value), 60)


_REQUIREMENTS: Final = {
    "bool_type": "it must be true or false",
    "int_type": "it must be a whole number",
    "int_from_float": "it must be a whole number",
    "float_type": "it must be a number",
    "finite_number": "it must be a finite number",
    "string_type": "it must be text",
    "tuple_type": "it must be a list",
    "too_short": "it must name at least one",
    "string_too_short": "it must not be empty",
    "greater_than": "it must be above {gt:g}",
    "greater_than_equal": "it must be at least {ge:g}",
    "less_than": "it must be below {lt:g}",
    "less_than_equal": "it must be at most {le:g}",
    "literal_error": "it must be {expected}",
    "value_error": "{error}",
}


def requirement(detail: ErrorDetails) -> str:
    """Say what the value must be, as the end of a sentence with its full stop."""
    template = _REQUIREMENTS.get(detail["type"])
    context = detail.get("ctx", {})
    if template is None:
        return detail["msg"][0].lower() + detail["msg"][1:] + "."
    text = template.format(**context)
    if detail["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", context["expected"])
        near = difflib.get_close_matches(str(detail["input"])[:100], choices, 1, 0.6)
        return f"{text}. Did you mean {near[0]}?" if near else f"{text}."
    return f"{text}."
