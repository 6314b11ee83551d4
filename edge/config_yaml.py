"""Read a config's YAML into plain values that remember their line.

A subset of YAML on purpose: one document of mappings, lists and scalars as YAML 1.2 reads them
(no dates, no base-60 numbers), without aliases (a few hundred bytes of them can unfold to
gigabytes), without tags and without doubled keys.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from edge.errors import ConfigError

MAX_BYTES: Final = 1_000_000
"""No config comes near 1 MB; a video given by mistake does."""
MAX_DEPTH: Final = 16
MAX_EVENTS: Final = 10_000
"""About 5,000 values, a hundred times what there is to set: more only costs time to parse."""

_NULL, _BOOL, _INT, _FLOAT, _STR = (
    f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str")
)
_TRUE: Final = frozenset({"true", "yes", "on"})
# 1e-3 is a number here (YAML 1.2, JSON), which PyYAML's own resolver (1.1) reads as text.
_RESOLVERS: Final = (
    (_NULL, re.compile(r"(?:~|null|Null|NULL|)\Z"), ["~", "n", "N", ""]),
    (
        _BOOL,
        re.compile(
            r"(?:true|True|TRUE|false|False|FALSE|yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF)\Z"
        ),
        list("tTfFyYnNoO"),
    ),
    (_INT, re.compile(r"[-+]?[0-9]{1,18}\Z"), list("-+0123456789")),
    (
        _FLOAT,
        re.compile(
            r"(?:[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+|[0-9]+)(?:[eE][-+]?[0-9]+)?"
            r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z"
        ),
        list("-+.0123456789"),
    ),
)


class _Loader(yaml.SafeLoader):
    """Composes nodes only; its scalars are resolved by _RESOLVERS instead of YAML 1.1's."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


class _Dumper(yaml.SafeDumper):
    """Quotes what either YAML 1.1 or _Loader would not read back as the same text."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


for _tag, _pattern, _first in _RESOLVERS:
    _Loader.add_implicit_resolver(_tag, _pattern, _first)
    _Dumper.add_implicit_resolver(_tag, _pattern, _first)


@dataclass(frozen=True, slots=True)
class Mapping:
    """A YAML mapping: key → (value, line), where a value is a Mapping, a list or a scalar."""

    entries: dict[str, tuple[Any, int]] = field(default_factory=dict)
    doubled: tuple[tuple[tuple[str, ...], int], ...] = ()
    """Paths of keys that were stated more than once, with the line of the repetition."""


def read_text(path: Path) -> str:
    """Read a config file.

    Raises ConfigError where it is missing, no file, unreadable, too large or not UTF-8 text.
    """
    name = printable(str(path), 200)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"config file {name} does not exist. Check the path.") from None
    except IsADirectoryError:
        raise ConfigError(f"{name} is a folder. Name a YAML file in it.") from None
    except PermissionError:
        raise ConfigError(
            f"config file {name} may not be read. Give this user read permission."
        ) from None
    except (OSError, ValueError) as error:
        cause = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"config file {name} cannot be read: {cause}.") from None
    if len(raw) > MAX_BYTES:
        raise ConfigError(
            f"{name} is larger than {MAX_BYTES // 1_000_000} MB, which no config is. "
            "Check that it is the right file."
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ConfigError(f"{name} is not UTF-8 text. Name a YAML file.")
    return text


def parse(text: str, origin: str) -> Any:
    """Parse one YAML document into Mappings, lists and scalars.

    origin names where the text came from in messages. Raises ConfigError with the line for
    anything that is not in the subset.
    """
    try:
        _check_structure(text, origin)
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise ConfigError(_syntax_message(error, origin)) from None
    except (ValueError, OverflowError):  # an escape such as "\UFFFFFFFF" that is no character
        raise ConfigError(
            f"{origin} has an escape sequence or directive that YAML does not know. Remove it."
        ) from None
    doubled: list[tuple[tuple[str, ...], int]] = []
    value = None if node is None else _plain(node, (), doubled, origin)
    if isinstance(value, Mapping):
        return Mapping(value.entries, tuple(doubled))
    if doubled:
        raise ConfigError(f"{origin} states a key twice. Remove one of the two.")
    return value


def dump(values: dict[str, Any]) -> str:
    """Write plain values as YAML that parse() reads back as the same values."""
    text = _dump(values, escape=False)
    # YAML folds exotic line breaks (U+0085, U+2028) that stand in a text as they are.
    if not all(line.isprintable() for line in text.split("\n")):
        text = _dump(values, escape=True)
    return text


def _dump(values: dict[str, Any], escape: bool) -> str:
    text: str = yaml.dump(values, Dumper=_Dumper, sort_keys=False, allow_unicode=not escape)
    return text


def _check_structure(text: str, origin: str) -> None:
    """Refuse on the flat event stream what would hurt on the way to a tree."""
    depth = documents = 0
    for count, event in enumerate(yaml.parse(text, Loader=_Loader)):
        if count > MAX_EVENTS:
            raise ConfigError(f"{origin} has too many values for a config. Check the file.")
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            raise ConfigError(
                f"{origin} line {line} has an alias (*{event.anchor:.40}). Write the value out."
            )
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise ConfigError(f"{origin} line {line} starts a second document. Keep one.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise ConfigError(f"{origin} line {line} is nested too deeply. Flatten it.")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _syntax_message(error: yaml.YAMLError, origin: str) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        problem = " ".join((error.problem or "it cannot be parsed").split())
        return (
            f"{origin} line {mark.line + 1}, column {mark.column + 1} is not valid YAML: "
            f"{printable(problem)}. Correct that line."
        )
    return f"{origin} has characters that YAML does not allow. Remove control characters."


def _plain(
    node: yaml.Node, path: tuple[str, ...], doubled: list[tuple[tuple[str, ...], int]], origin: str
) -> Any:
    line = node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        entries: dict[str, tuple[Any, int]] = {}
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise ConfigError(f"{origin} line {key_line} has a key that is no text. Name it.")
            key = key_node.value
            if key in entries:
                doubled.append(((*path, key), key_line))
            entries[key] = (_plain(value_node, (*path, key), doubled, origin), key_line)
        return Mapping(entries)
    if isinstance(node, yaml.SequenceNode):
        return [_plain(item, path, doubled, origin) for item in node.value]
    return _scalar(str(node.value), node.tag, f"{origin} line {line}")


def _scalar(text: str, tag: str, where: str) -> Any:
    try:
        if tag == _STR:
            return text
        if tag == _NULL:
            return None
        if tag == _BOOL:
            return text.lower() in _TRUE
        if tag == _INT:
            return int(text)
        if tag == _FLOAT:
            return float(text.replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        pass
    raise ConfigError(
        f"{where} has a value of a kind that no setting has ({tag:.60}). Remove the tag."
    )


def printable(text: str, limit: int = 80) -> str:
    """Return text without control characters and not longer than limit, fit for a terminal."""
    clean = "".join(c if c.isprintable() else "?" for c in text)
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
