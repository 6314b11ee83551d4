"""Settings of the operator's side, in the service's file."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.appliance import packages
from edge.appliance.service_config import load_service_config
from edge.config_api import Api, Audit
from edge.errors import ConfigError

STREAM = """
streams:
  front: {source: /tmp/a.mp4, outputs: [/tmp/out.mp4], settings: {blur: {type: solid}}}
"""


def load(tmp_path: Path, more: str, **overlay: dict[str, object]) -> object:
    path = tmp_path / "privaedge.yaml"
    path.write_text(STREAM + more)
    return load_service_config(path, {}, overlay)


def api(tmp_path: Path, text: str) -> Api:
    path = tmp_path / "privaedge.yaml"
    path.write_text(STREAM + text)
    return load_service_config(path, {}).api


def test_without_a_word_there_is_no_api_and_there_is_an_audit(tmp_path: Path) -> None:
    config = load_service_config(_file(tmp_path, STREAM), {})
    assert config.api == Api()
    assert not config.api.enabled
    assert config.audit == Audit()
    assert config.audit.enabled


def _file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "privaedge.yaml"
    path.write_text(text)
    return path


def test_it_is_on_loopback_unless_told_otherwise(tmp_path: Path) -> None:
    assert api(tmp_path, "api: {enabled: true}").is_local
    assert api(tmp_path, "api: {enabled: true, bind: '::1'}").is_local
    assert not api(tmp_path, "api: {enabled: true, bind: 0.0.0.0, tls: self-signed}").is_local
    assert api(tmp_path, "api: {enabled: true, bind: 0.0.0.0, allow_plain: true}").tls == "off"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("api: {enabled: true, bind: 0.0.0.0}", "open to a network and api.tls is off"),
        ("api: {enabled: true, bind: 192.0.2.1}", "open to a network"),
        ("api: {enabled: true, bind: '::'}", "open to a network"),
        ("api: {enabled: true, bind: localhost}", "it must be an IP address"),
        ("api: {enabled: true, tls: files}", "go together"),
        ("api: {enabled: true, certificate: /a.pem, key: /b.pem}", "go together"),
        ("api: {enabled: 1}", "api.enabled in"),
        ("api: {enabled: yes, port: 70000}", "it must be at most 65535"),
        ("api: {port: '8484'}", "it must be a whole number"),
        ("api: {hosts: [Box.Example]}", "small letters"),
        ("api: {hosts: ['a/b']}", "host names"),
        ("api: {tls: selfsigned}", "Did you mean self-signed?"),
        ("api: {prot: 1}", "Did you mean port?"),
        ("api: 7", "api in"),
        ("audit: {keep: 1}", "it must be at least 2"),
        ("audti: {}", "Did you mean audit?"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, text)
    assert words in str(caught.value)


def test_missing_packages_are_named_and_only_asked_for_where_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "_PACKAGES", ("json", "no_such_package"))
    with pytest.raises(ConfigError, match=r"no_such_package\. Run pip install 'privaedge\[api\]'"):
        api(tmp_path, "api: {enabled: true}")
    assert not api(tmp_path, "api: {enabled: false}").enabled


def test_what_operators_changed_counts_more_than_the_file(tmp_path: Path) -> None:
    path = _file(tmp_path, STREAM)
    before = load_service_config(path, {}).streams["front"].settings
    overlay = {"front": {"blur.type": "gaussian", "blur.pad": 0.3}, "gone": {"blur.type": "solid"}}
    after = load_service_config(path, {}, overlay).streams["front"].settings
    assert (before.blur.type, after.blur.type, after.blur.pad) == ("solid", "gaussian", 0.3)
    for wrong in ({"blur.type": "clear"}, {"no.such": 1}, {"blur": {}}, {"profile": "balanced"}):
        with pytest.raises(ConfigError, match="the changes made by the API"):
            load_service_config(path, {}, {"front": wrong})
