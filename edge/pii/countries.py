"""Countries and regions: a line that names one means nothing alone, and ends an address."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Final

from edge.pii.reading import fold

_REGION: Final = re.compile(r"[A-Z]{2,3}")
"""NSW, CA, BY: as print abbreviates states and counties."""
_POSTAL_CODE: Final = re.compile(r"(?<!\S)[\d-]{3,10}(?!\S)")


def ends_address(text: str) -> bool:
    """Whether a line is no more than a country in a language that phonenumbers knows, perhaps with
    a postal code, or the abbreviation of a region in capitals."""
    bare = text.strip(" .,")
    if _REGION.fullmatch(bare):
        return True
    return " ".join(_POSTAL_CODE.sub(" ", fold(bare)).split()) in _countries()


@cache
def _countries() -> frozenset[str]:
    names = {fold(name) for by_language in _locales().values() for name in by_language.values()}
    # "*" and a code refer to the language in which the name is the same.
    return frozenset(name for name in names if not name.startswith("*"))


def _locales() -> dict[str, dict[str, str]]:
    """Names by region and language. The file is run by itself: importing it by name would import
    its package, which holds every area code there is and takes 100 MB."""
    package = find_spec("phonenumbers")
    if package is None or package.origin is None:
        raise ImportError("phonenumbers is not installed. Install privaedge again.")
    path = Path(package.origin).parent / "geodata" / "locale.py"
    spec = spec_from_file_location("phonenumbers.geodata.locale", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} cannot be loaded. Install phonenumbers again.")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    locales: dict[str, dict[str, str]] = module.LOCALE_DATA
    return locales
