"""What readers of print get wrong: alike characters, lost and added ones, spaces."""

from __future__ import annotations

import random
from typing import Final

CONFUSIONS: Final[dict[str, str]] = {
    "0": "OoDQ", "1": "Il|i7", "2": "Z", "3": "8B", "4": "A", "5": "S", "6": "Gb", "7": "1T",
    "8": "B3",
    "9": "gq", "O": "0QDo", "o": "0ce", "I": "1l|", "l": "1I|i", "i": "1l", "S": "5s", "s": "S5",
    "B": "8R",
    "Z": "2", "G": "6C", "b": "6h", "D": "0O", "e": "co", "c": "eo", "a": "oe", "n": "rhu",
    "m": "nr", "u": "nv",
    "h": "bn", "t": "f1", "f": "t", "E": "FB", "F": "EP", "P": "R", "R": "PB", "U": "VJ", "V": "UY",
    "v": "uy",
    "w": "vv", "g": "q9", "q": "g9", "C": "GO", "M": "N", "N": "MH", "H": "N", "T": "7Y", "Y": "VT",
    "K": "X",
    "X": "K", "é": "e", "è": "e", "ü": "u", "ö": "o", "ä": "a", "á": "a", "ó": "o", "ç": "c",
    "ñ": "n", "ø": "o",
}  # fmt: skip


def misread(text: str, rng: random.Random, rate: float = 0.03) -> str:
    """Return a text as it might be read.

    rate: share of characters that are taken for another; a fifth as many are lost, and spaces are
    lost and added at the same rate.
    """
    result: list[str] = []
    for character in text:
        draw = rng.random()
        if character == " ":
            if draw >= rate:
                result.append(" ")
        elif draw < rate and character in CONFUSIONS:
            result.append(rng.choice(CONFUSIONS[character]))
        elif draw < rate * 1.2 and len(text) > 4:
            continue
        elif draw < rate * 1.4:
            result.append(character + " ")
        else:
            result.append(character)
    return "".join(result).strip() or text
