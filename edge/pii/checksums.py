"""Check digits of numbers that authorities and companies give out. Pure arithmetic.

Every function takes the number without separators, digits as ASCII and letters in lower case, of
the length and the alphabet that its caller has matched, and says whether the check digits agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_VERHOEFF_MULTIPLY: Final = (
    "0123456789",
    "1234067895",
    "2340178956",
    "3401289567",
    "4012395678",
    "5987604321",
    "6598710432",
    "7659821043",
    "8765932104",
    "9876543210",
)
"""Multiplication in the dihedral group D5 (J. Verhoeff, 1969)."""
_VERHOEFF_PERMUTE: Final = (
    "0123456789",
    "1576283094",
    "5803796142",
    "8916043527",
    "9453126870",
    "4286573901",
    "2793806415",
    "7046913258",
)


_ODD_DIGITS: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21)
_ODD_LETTERS: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10,
                       22, 25, 24, 23)  # fmt: skip
"""What characters in odd places count for in the Italian code (decree of 23 December 1976)."""


def _values(digits: str) -> list[int]:
    return [int(digit) for digit in digits]


def _weighted(digits: str, weights: Sequence[int]) -> int:
    return sum(a * b for a, b in zip(_values(digits), weights, strict=True))


def luhn(digits: str) -> bool:
    """Payment cards, IMEI, Canadian SIN, Swedish personal numbers (ISO/IEC 7812-1)."""
    total = 0
    for n, value in enumerate(reversed(_values(digits))):
        doubled = value * 2 if n % 2 else value
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


def mod_97(text: str) -> bool:
    """ISO 7064 MOD 97-10 with letters as 10..35: an IBAN whose first four stand at the end."""
    number = "".join(str(int(character, 36)) for character in text)
    return int(number) % 97 == 1


def verhoeff(digits: str) -> bool:
    """Aadhaar (India)."""
    check = 0
    for n, value in enumerate(reversed(_values(digits))):
        check = int(_VERHOEFF_MULTIPLY[check][int(_VERHOEFF_PERMUTE[n % 8][value])])
    return check == 0


def mod_11_10(digits: str) -> bool:
    """ISO 7064 MOD 11,10: the German tax number and Croatian OIB."""
    product = 10
    for value in _values(digits[:-1]):
        product = (product + value) % 10 or 10
        product = product * 2 % 11
    return (11 - product) % 10 == int(digits[-1])


def mod_11_2(text: str) -> bool:
    """ISO 7064 MOD 11-2 with x for 10: the Chinese resident identity number."""
    remainder = 0
    for character in text[:-1]:
        remainder = (remainder + int(character)) * 2 % 11
    expected = (12 - remainder) % 11
    return text[-1] == ("x" if expected == 10 else str(expected))


def nric(text: str) -> bool:
    """Singapore NRIC and FIN: a letter, 7 digits, a letter."""
    prefix, digits, check = text[0], text[1:8], text[8]
    total = _weighted(digits, (2, 7, 6, 5, 4, 3, 2))
    total += {"s": 0, "t": 4, "f": 0, "g": 4, "m": 3}[prefix]
    checks = {"s": "jzihgfedcba", "t": "jzihgfedcba", "m": "xwutrqpnjlk"}
    return checks.get(prefix, "xwutrqpnmlk")[total % 11] == check


def dni(text: str) -> bool:
    """Spanish DNI (8 digits and a letter) and NIE (x, y or z, 7 digits and a letter)."""
    number = text[:-1].translate(str.maketrans("xyz", "012"))
    return "trwagmyfpdxbnjzsqvhlcke"[int(number) % 23] == text[-1]


def codice_fiscale(text: str) -> bool:
    """Italian fiscal code: 16 letters and digits."""
    alphabet = "0123456789abcdefghijklmnopqrstuvwxyz"
    odd = dict(
        zip(
            alphabet,
            (*_ODD_DIGITS, *_ODD_LETTERS),
            strict=True,
        )
    )
    total = sum(odd[character] for character in text[0:15:2])
    total += sum(
        int(character) if character.isdigit() else ord(character) - ord("a")
        for character in text[1:15:2]
    )
    return chr(ord("a") + total % 26) == text[15]


def cpf(digits: str) -> bool:
    """Brazilian CPF: 9 digits and two check digits; a repeated digit is never issued."""
    if len(set(digits)) == 1:
        return False
    for length in (9, 10):
        total = _weighted(digits[:length], range(length + 1, 1, -1))
        if total * 10 % 11 % 10 != int(digits[length]):
            return False
    return True


def tfn(digits: str) -> bool:
    """Australian tax file number of 9 digits."""
    return _weighted(digits, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


def bsn(digits: str) -> bool:
    """Dutch citizen service number: 9 digits, not all zero."""
    return int(digits) > 0 and _weighted(digits, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def nhs(digits: str) -> bool:
    """NHS number of England: 10 digits."""
    check = 11 - _weighted(digits[:9], range(10, 1, -1)) % 11
    return check != 10 and check % 11 == int(digits[9])


def nir(text: str) -> bool:
    """French social security number: 13 digits (2a and 2b for Corsica) and a key of two."""
    number = text[:13].replace("2a", "19").replace("2b", "18")
    return 97 - int(number) % 97 == int(text[13:])


def pesel(digits: str) -> bool:
    """Polish PESEL: 11 digits."""
    return _weighted(digits, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3, 1)) % 10 == 0


def rrn(digits: str) -> bool:
    """Korean resident registration number: 13 digits."""
    total = _weighted(digits[:12], (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5))
    return (11 - total % 11) % 10 == int(digits[12])


def hkid(text: str) -> bool:
    """Hong Kong identity card: one or two letters, 6 digits, a check digit or a."""
    body = text[:-1].rjust(8)
    total = sum(
        (36 if character == " " else int(character, 36)) * weight
        for character, weight in zip(body, range(9, 1, -1), strict=True)
    )
    check = (11 - total % 11) % 11
    return text[-1] == ("a" if check == 10 else str(check))


def taiwan(text: str) -> bool:
    """Taiwanese identity card: a letter, 9 digits."""
    code = "abcdefghjklmnpqrstuvxywzio".index(text[0]) + 10
    digits = f"{code}{text[1:]}"
    return _weighted(digits, (1, 9, 8, 7, 6, 5, 4, 3, 2, 1, 1)) % 10 == 0


def hetu(text: str) -> bool:
    """Finnish personal identity code: ddmmyy, a sign of the century, 3 digits, a check mark."""
    return "0123456789abcdefhjklmnprstuvwxy"[int(text[:6] + text[7:10]) % 31] == text[10]


def rodne_cislo(digits: str) -> bool:
    """Czech and Slovak birth number of 10 digits."""
    return int(digits) % 11 == 0


def vin(text: str) -> bool:
    """Vehicle identification number: 17 letters and digits, the ninth is the check digit."""
    letters = "abcdefgh jklmn p r  stuvwxyz"
    values = "12345678 12345 7 9  23456789"
    value = {a: int(b) for a, b in zip(letters, values, strict=True) if a != " "}
    weights = (8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2)
    total = sum(
        (int(c) if c.isdigit() else value[c]) * w for c, w in zip(text, weights, strict=True)
    )
    return "0123456789x"[total % 11] == text[8]


def s10(digits: str) -> bool:
    """The 9 digits of a postal item's number (UPU S10)."""
    check = 11 - _weighted(digits[:8], (8, 6, 4, 2, 3, 5, 9, 7)) % 11
    return {10: 0, 11: 5}.get(check, check) == int(digits[8])


def ups(text: str) -> bool:
    """UPS: the 16 characters after 1z."""
    total = 0
    for n, character in enumerate(text[:15]):
        value = int(character) if character.isdigit() else (ord(character) - 95) % 10
        total += value * 2 if n % 2 else value
    return (10 - total % 10) % 10 == int(text[15])


def mrz(field: str, check: str) -> bool:
    """A field of a machine-readable travel document and its check digit (ICAO 9303)."""
    total = 0
    for n, character in enumerate(field):
        value = 0 if character == "<" else int(character, 36)
        total += value * (7, 3, 1)[n % 3]
    return check == str(total % 10)


def ean(digits: str) -> bool:
    """A product's bar code of 8, 12 or 13 digits, and ISBN-13."""
    values = _values(digits)
    total = sum(v * (3 if n % 2 else 1) for n, v in enumerate(reversed(values)))
    return total % 10 == 0
