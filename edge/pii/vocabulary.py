"""Lists of words, set as text."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """Return the words of a text, which white space separates."""
    return frozenset(text.split())
