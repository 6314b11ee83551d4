"""Tokens, sessions and how often one may be wrong."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.appliance.api_auth import (
    CREDENTIAL,
    FAILURES,
    FORGIVEN_S,
    FailureLimit,
    Keyring,
    load_token,
    renew_token,
)
from edge.errors import ConfigError

TOKEN = "t" * 43


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_the_token_is_made_once_and_for_this_user_only(tmp_path: Path) -> None:
    folder = tmp_path / "service" / "privaedge"
    token, made = load_token(folder, {})
    assert made
    assert len(token) >= 43
    assert load_token(folder, {}) == (token, False)
    assert stat.S_IMODE((folder / "api-token").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert renew_token(folder) != token
    assert load_token(folder, {})[0] != token


def test_a_credential_counts_more(tmp_path: Path) -> None:
    (tmp_path / CREDENTIAL).write_text(f"{TOKEN}\n")
    assert load_token(tmp_path / "state", {"CREDENTIALS_DIRECTORY": str(tmp_path)}) == (
        TOKEN,
        False,
    )


@pytest.mark.parametrize("text", ["short", "", "x" * 600, "two words that are long enough ",
                                  "a" * 30 + "\x00", "ü" * 30])  # fmt: skip
def test_a_token_that_is_none_is_refused_without_being_shown(tmp_path: Path, text: str) -> None:
    (tmp_path / "api-token").write_text(text)
    with pytest.raises(ConfigError, match="is not 24 to 512 letters") as caught:
        load_token(tmp_path, {})
    assert not text.strip() or text.strip() not in str(caught.value)


@given(st.text(max_size=600))
def test_only_the_token_is_the_token(text: str) -> None:
    keys = Keyring(TOKEN, 60.0)
    assert keys.is_token(text) == (text == TOKEN)
    assert keys.is_token(TOKEN)


@given(st.text(max_size=300))
def test_nothing_made_up_is_a_session(text: str) -> None:
    assert not Keyring(TOKEN, 60.0).is_session(text)


@given(st.data())
def test_no_letter_of_a_session_can_be_changed(data: st.DataObject) -> None:
    keys = Keyring(TOKEN, 60.0)
    cookie = keys.open_session()
    at = data.draw(st.integers(0, len(cookie) - 2))  # the last letter has two spare bits
    letter = data.draw(st.sampled_from("ABCxyz019-_"))
    if cookie[at] != letter:
        assert not keys.is_session(cookie[:at] + letter + cookie[at + 1 :])


def test_sessions_end_by_time_by_logout_and_with_another_token() -> None:
    clock = Clock()
    keys = Keyring(TOKEN, 60.0, clock=clock)
    one, other = keys.open_session(), keys.open_session()
    assert one != other
    assert Keyring(TOKEN, 60.0, clock=clock).is_session(one), "it outlives a restart"
    assert not Keyring("u" * 43, 60.0, clock=clock).is_session(one)
    keys.end_session(one)
    assert not keys.is_session(one)
    assert keys.is_session(other)
    clock.now += 61
    assert not keys.is_session(other)


def test_the_second_value_belongs_to_one_session() -> None:
    keys = Keyring(TOKEN, 60.0)
    one, other = keys.open_session(), keys.open_session()
    assert keys.is_csrf(one, keys.csrf_of(one))
    assert not keys.is_csrf(one, keys.csrf_of(other))
    assert not keys.is_csrf(one, "")
    assert not keys.is_csrf(one, one)


def test_failures_are_slowed_down_by_network() -> None:
    clock = Clock()
    limit = FailureLimit(clock)
    assert [limit.fail("192.0.2.1") for _ in range(FAILURES)] == [0.0] * FAILURES
    assert 0 < limit.fail("192.0.2.1") <= FORGIVEN_S
    assert limit.fail("192.0.2.2") == 0
    clock.now += FORGIVEN_S + 0.1
    assert limit.fail("192.0.2.1") == 0
    assert limit.fail("192.0.2.1") > 0
    # A household has as many IPv6 addresses as it likes, and all are one.
    waits = [limit.fail(f"2001:db8::{n:x}") for n in range(FAILURES + 5)]
    assert sum(wait > 0 for wait in waits) == 5
    for n in range(5000):
        limit.fail(f"10.{n >> 8}.{n & 255}.1")
    assert len(limit._seen) <= 1024
