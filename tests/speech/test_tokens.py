"""Moonshine's vocabulary file, by hand and as it ships."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import InferenceError, ModelError
from edge.speech.tokens import Vocabulary
from tests.speech.spoken import real_vocabulary

TOKENS = st.lists(st.binary(max_size=400), min_size=1, max_size=40)


def packed(tokens: list[bytes]) -> bytes:
    out = bytearray()
    for token in tokens:
        length = len(token)
        out += bytes([length]) if length < 128 else bytes([length % 128 + 128, length // 128])
        out += token
    return bytes(out)


@given(TOKENS)
def test_every_length_is_read_back(tokens: list[bytes]) -> None:
    vocabulary = Vocabulary.parse(packed(tokens), "v")
    assert len(vocabulary) == len(tokens)
    plain = [t for t in tokens if not t.startswith((b"<s>", b"</s>", b"<unk>", b"<<ST_"))]
    expected = b"".join(plain).replace("▁".encode(), b" ").decode("utf-8", errors="replace")
    assert vocabulary.decode(range(len(tokens))) == expected


@given(TOKENS, st.data())
def test_a_file_that_breaks_off_is_refused_or_shorter(tokens: list[bytes], data) -> None:
    whole = packed(tokens)
    part = whole[: data.draw(st.integers(0, len(whole) - 1))]
    try:
        vocabulary = Vocabulary.parse(part, "v")
    except ModelError:
        return
    assert packed(tokens[: len(vocabulary)]) == part


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(data: bytes) -> None:
    with contextlib.suppress(ModelError):
        Vocabulary.parse(data, "v")


def test_characters_of_several_tokens_and_control_tokens() -> None:
    vocabulary = Vocabulary([b"<s>", "▁caf".encode(), b"\xc3", b"\xa9", b"<<ST_7>>"])
    assert vocabulary.decode([0, 1, 2, 3, 4]) == " café"
    assert vocabulary.decode([1, 2]) == " caf�"
    assert vocabulary.starts_word(1)
    assert not vocabulary.starts_word(2)


@pytest.mark.parametrize("number", [-1, 2, 1 << 40])
def test_an_unknown_token_is_an_error(number: int) -> None:
    vocabulary = Vocabulary([b"a", b"b"])
    with pytest.raises(InferenceError):
        vocabulary.decode([number])
    with pytest.raises(InferenceError):
        vocabulary.starts_word(number)


def test_the_real_file() -> None:
    vocabulary = real_vocabulary()
    assert len(vocabulary) == 32768
    assert vocabulary.decode([1, 2]) == ""
