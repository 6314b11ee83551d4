"""Moonshine's vocabulary, `tokenizer.bin`: from token numbers to text.

The file lists the tokens in order of their numbers: for each its length in bytes, then the bytes.
A length below 128 is one byte; otherwise it is two, (first − 128) + 128 · second. "▁" stands for a
space. Single bytes have tokens of their own (for what no other token spells), so the bytes of a
whole text are joined before they are read as UTF-8.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, Self

from edge.errors import InferenceError, ModelError

_SPACE = "▁".encode()
_CONTROL = (b"<s>", b"</s>", b"<unk>", b"<<ST_")
"""Tokens that stand for no text begin with one of these."""
_MAX_TOKENS = 1 << 20


class Pieces(Protocol):
    """What joins tokens to words."""

    def starts_word(self, token: int) -> bool:
        """Whether a token's text begins with a space. Raises InferenceError for no known token."""

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the text of tokens. Raises InferenceError for a number that is no token's."""


class Vocabulary:
    """The tokens of a model by number."""

    def __init__(self, tokens: Iterable[bytes]) -> None:
        self._tokens = tuple(tokens)

    @classmethod
    def parse(cls, data: bytes, name: str) -> Self:
        """Read a tokenizer.bin. Raises ModelError, with `name`, where it is none."""
        tokens: list[bytes] = []
        at = 0
        while at < len(data):
            length = data[at]
            at += 1
            if length >= 128:
                if at == len(data):
                    raise _broken(name)
                length += 128 * (data[at] - 1)
                at += 1
            if at + length > len(data) or len(tokens) == _MAX_TOKENS:
                raise _broken(name)
            tokens.append(data[at : at + length])
            at += length
        if not tokens:
            raise _broken(name)
        return cls(tokens)

    def __len__(self) -> int:
        return len(self._tokens)

    def starts_word(self, token: int) -> bool:
        """Whether a token's text begins with a space. Raises InferenceError for no known token."""
        return self._bytes(token).startswith(_SPACE)

    def decode(self, numbers: Iterable[int]) -> str:
        """Return the text of tokens; bytes that are no UTF-8 become U+FFFD.

        Raises InferenceError for a number that is no token's.
        """
        joined = b"".join(self._bytes(number) for number in numbers)
        return joined.replace(_SPACE, b" ").decode("utf-8", errors="replace")

    def _bytes(self, number: int) -> bytes:
        if not 0 <= number < len(self._tokens):
            raise InferenceError(f"the speech model gave token {number} of {len(self._tokens)}")
        token = self._tokens[number]
        return b"" if token.startswith(_CONTROL) else token


def _broken(name: str) -> ModelError:
    return ModelError(
        f"model {name} is no Moonshine vocabulary. Fetch it again: privaedge models fetch "
        f"{name} --force"
    )
