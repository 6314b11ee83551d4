"""Private spans in a text: the words that all recognisers, the classifier and the tagger share."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a private span is."""

    NAME = "name"
    """A person's."""
    ORGANISATION = "organisation"
    PLACE = "place"
    """A town, a region, a country: private only where a policy says so."""
    ADDRESS = "address"
    """Street, house, unit and postal code, together or alone."""
    PHONE = "phone"
    EMAIL = "email"
    USERNAME = "username"
    """Also a handle such as @someone."""
    URL = "url"
    ID = "id"
    """A number that an authority or a company has given to one person or thing: national id,
    passport, driving licence, tax, account or tracking number, IBAN, IP address."""
    CARD = "card"
    """Of a payment card."""
    BIRTHDAY = "birthday"
    SECRET = "secret"  # noqa: S105 - a kind, not a password
    """A password, a PIN, a key."""
    PLATE = "plate"
    """Of a vehicle."""


@dataclass(frozen=True, slots=True)
class PiiSpan:
    """Characters start..end (end exclusive) of a text are of one kind.

    score: 0..1, how sure. 1 is kept for what a checksum proves. The text itself is not in it: a
    span can be counted and logged.
    """

    start: int
    end: int
    kind: Kind
    score: float
