from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.pii import checksums
from tests.pii.examples import PUBLISHED, digits, with_other_digit


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_numbers_are_valid(name: str) -> None:
    check, number = PUBLISHED[name]
    assert check(number)


@pytest.mark.parametrize("name", PUBLISHED)
@given(position=st.integers(0, 30), shift=st.integers(1, 9))
def test_one_other_digit_is_not(name: str, position: int, shift: int) -> None:
    check, number = PUBLISHED[name]
    changed = with_other_digit(number, position, shift)
    # Weights that share a factor with the modulus let some changes pass: UPS and TW double or
    # weigh digits modulo 10, and a digit's part in the Italian odd table wraps at 26.
    if name not in {"UPS", "Taiwan", "NIR", "codice fiscale", "VIN", "HKID", "rodné číslo"}:
        assert not check(changed)


@given(digits(15))
def test_luhn_has_one_check_digit(body: str) -> None:
    assert sum(checksums.luhn(body + str(n)) for n in range(10)) == 1


@given(digits(11))
def test_verhoeff_has_one_check_digit(body: str) -> None:
    assert sum(checksums.verhoeff(body + str(n)) for n in range(10)) == 1


@given(digits(10))
def test_mod_11_10_has_one_check_digit(body: str) -> None:
    assert sum(checksums.mod_11_10(body + str(n)) for n in range(10)) == 1


@given(st.integers(0, 10**16))
def test_mod_97_has_one_pair_of_check_digits_for_each_number(number: int) -> None:
    # 98 - remainder lies in 2..98, so 00, 01 and 99 are never given.
    valid = [n for n in range(2, 99) if checksums.mod_97(f"west{number:016d}gb{n:02d}")]
    assert len(valid) == 1


def test_a_repeated_digit_is_no_cpf() -> None:
    assert not checksums.cpf("11111111111")


def test_mrz_example_of_icao() -> None:
    assert checksums.mrz("l898902c3", "6")
    assert checksums.mrz("ab2134<<<", "5")
    assert not checksums.mrz("l898902c3", "7")
