"""Words that English writes with a capital though they name nobody: days, months, nationalities.

A tagger takes a capital in the middle of a sentence for a sign of a name. Recognisers that write
capitals put them on these words, too, so they lose them before they are tagged.
"""

from __future__ import annotations

from typing import Final

from edge.speech.cues import plain

_CALENDAR: Final = (
    "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "january",
    "february", "march", "april", "may", "june", "july", "august", "september", "october",
    "november", "december", "christmas", "easter", "halloween", "ramadan", "thanksgiving",
)  # fmt: skip
_NATIONALITIES: Final = (
    "african", "albanian", "american", "arab", "argentinian", "asian", "australian", "austrian",
    "belgian", "brazilian", "bulgarian", "canadian", "chilean", "colombian", "croatian", "cuban",
    "czech", "egyptian", "european", "filipino", "german", "greek", "hungarian", "indian",
    "indonesian", "iranian", "iraqi", "israeli", "italian", "jamaican", "kenyan", "korean",
    "malay", "malaysian", "mexican", "moroccan", "nigerian", "norwegian", "pakistani", "persian",
    "peruvian", "roman", "romanian", "russian", "scot", "serbian", "singaporean", "slovak",
    "swede", "syrian", "thai", "turk", "ukrainian", "viking",
)  # fmt: skip
_WITHOUT_PLURAL: Final = (
    "arabic", "british", "chinese", "danish", "dutch", "english", "finnish", "french", "hebrew",
    "hindi", "irish", "japanese", "latin", "mandarin", "polish", "portuguese", "scottish",
    "spanish", "swahili", "swedish", "swiss", "tamil", "turkish", "vietnamese", "welsh",
    "christian", "catholic", "protestant", "muslim", "jewish", "hindu", "buddhist", "internet",
    "god", "bible", "okay", "ok", "tv", "dvd", "usb", "pc", "ai", "dna", "mr", "mrs", "ms", "dr",
)  # fmt: skip
_CAPITALISED: Final = frozenset(
    (*_CALENDAR, *_WITHOUT_PLURAL, *_NATIONALITIES, *(f"{one}s" for one in _NATIONALITIES))
)


def without_empty_capitals(word: str) -> str:
    """Return a word as it is, or in lower case where its capital says nothing of a name."""
    return word.lower() if plain(word).removesuffix("'s") in _CAPITALISED else word
