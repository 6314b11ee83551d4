"""Numbers that are public examples, and how to make others that are valid."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from edge.pii import checksums

PUBLISHED: dict[str, tuple[Callable[[str], bool], str]] = {
    "card (Visa's test number)": (checksums.luhn, "4111111111111111"),
    "IBAN (ISO 13616, United Kingdom)": (checksums.mod_97, "west12345698765432gb82"),
    "NRIC": (checksums.nric, "s1234567d"),
    "FIN": (checksums.nric, "g1234567x"),
    "FIN of 2022": (checksums.nric, "m1234567k"),
    "DNI": (checksums.dni, "12345678z"),
    "NIE": (checksums.dni, "x1234567l"),
    "codice fiscale": (checksums.codice_fiscale, "rssmra85t10a562s"),
    "CPF": (checksums.cpf, "52998224725"),
    "TFN": (checksums.tfn, "123456782"),
    "BSN": (checksums.bsn, "111222333"),
    "NHS": (checksums.nhs, "9434765919"),
    "NIR": (checksums.nir, "255081416802538"),
    "PESEL": (checksums.pesel, "44051401359"),
    "Steuer-ID": (checksums.mod_11_10, "86095742719"),
    "Chinese resident": (checksums.mod_11_2, "11010519491231002x"),
    "HKID": (checksums.hkid, "a1234563"),
    "Taiwan": (checksums.taiwan, "a123456789"),
    "hetu": (checksums.hetu, "131052-308t"),
    "VIN": (checksums.vin, "1m8gdm9axkp042788"),
    "postal item": (checksums.s10, "473124829"),
    "UPS": (checksums.ups, "12345e1512345676"),
    "EAN": (checksums.ean, "4006381333931"),
    "Verhoeff": (checksums.verhoeff, "2363"),
    "rodné číslo": (checksums.rodne_cislo, "7103192745"),
}


def digits(n: int) -> st.SearchStrategy[str]:
    return st.text("0123456789", min_size=n, max_size=n)


def completed(body: str, check: Callable[[str], bool], alphabet: str) -> str | None:
    """The body with the one last character that makes it valid; None where there is none."""
    return next((body + one for one in alphabet if check(body + one)), None)


def grouped(number: str, *sizes: int, by: str = " ") -> str:
    parts, start = [], 0
    for size in sizes:
        parts.append(number[start : start + size])
        start += size
    return by.join(part for part in parts if part)


def with_other_digit(number: str, position: int, shift: int) -> str:
    """Change the position-th digit (counted around) by shift (1..9)."""
    places = [n for n, character in enumerate(number) if character.isdigit()]
    place = places[position % len(places)]
    return number[:place] + str((int(number[place]) + shift) % 10) + number[place + 1 :]
