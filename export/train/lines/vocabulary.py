"""Words that lines are made of, with a part of each list held out for validation."""

from __future__ import annotations

import ast
import re
import sysconfig
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from pydoc_data.topics import topics
from typing import Any, Final

from faker import Faker

from edge.pii.vocabulary import words

LOCALES: Final = (
    "en_US", "en_GB", "en_AU", "en_CA", "en_IN", "en_IE", "en_NZ", "en_PH", "en_TH", "de_DE",
    "de_AT",
    "de_CH", "fr_FR", "fr_CA", "fr_CH", "fr_BE", "es_ES", "es_MX", "es_CO", "es_AR", "es_CL",
    "it_IT",
    "pt_BR", "pt_PT", "nl_NL", "nl_BE", "da_DK", "sv_SE", "no_NO", "fi_FI", "pl_PL", "cs_CZ",
    "sk_SK",
    "hu_HU", "ro_RO", "hr_HR", "sl_SI", "et_EE", "lt_LT", "lv_LV", "tr_TR", "id_ID", "vi_VN",
    "el_GR",
    "ru_RU", "uk_UA", "bg_BG", "zh_CN", "zh_TW", "ja_JP", "ko_KR", "ar_AA", "he_IL", "hi_IN",
    "fa_IR",
    "ga_IE", "az_AZ", "uz_UZ", "tw_GH", "yo_NG", "ig_NG", "ha_NG", "zu_ZA", "sw", "ka_GE",
)  # fmt: skip
WEIGHTS: Final = {
    **dict.fromkeys(LOCALES, 1.0),
    **{"en_US": 10.0, "en_GB": 5.0, "en_IN": 4.0, "de_DE": 3.0, "fr_FR": 3.0, "es_ES": 3.0},
    **{"it_IT": 3.0, "nl_NL": 2.0, "pt_BR": 2.0, "da_DK": 2.0, "sv_SE": 2.0, "no_NO": 2.0},
    **{"pl_PL": 2.0, "cs_CZ": 1.5, "hu_HU": 1.5, "hr_HR": 1.5, "sl_SI": 1.5, "fi_FI": 2.0},
    **dict.fromkeys(
        ("el_GR", "ru_RU", "uk_UA", "bg_BG", "ja_JP", "ko_KR", "ar_AA", "he_IL", "hi_IN", "fa_IR"),
        0.3,
    ),
    **{"ka_GE": 0.2, "zh_TW": 0.7},
}
"""How often a locale is drawn: by what streets of Europe, America and South Asia show, and less
where the default reader cannot read the script."""


def _sorted(text: str) -> tuple[str, ...]:
    return tuple(sorted(words(text)))


SURNAMES_OF_THE_CHINESE_DIASPORA: Final = _sorted(
    """
    Ang Boey Cai Cao Chai Chan Chen Cheng Cheung Chew Chia Chiam Chong Choo Chow Chua Deng
    Dong Eng Feng Foo Fung Gan Gao Goh Guo Han He Heng Ho Hu Huang Hui Jiang Kang Khoo Koh
    Kwan Kwek Kwok Lai Lam Lau Lee Leong Leung Li Liang Lim Lin Liu Loh Low Luo Ma Mak Neo
    Ng Ong Pan Pang Peng Phua Png Poh Poon Quek Seah Sim Siu Sng Soh Sun Tan Tang Tay Teo
    Tham Tian Toh Tong Tsang Tse Wang Wee Wong Woo Wu Xiao Xie Xu Yang Yap Yeo Yeung Yip
    Yong Yuan Zeng Zhang Zhao Zheng Zhou Zhu
    """
)
GIVEN_SYLLABLES: Final = _sorted(
    """
    Bee Bo Boon Cheng Cheong Chi Choo Chuan Chun Chye En Eng Fai Fang Geok Guan Guang Hao
    Hin Ho Hock Hoe Hong Huat Hui Hwa Jia Jie Jing Jun Ka Kai Keng Kheng Kim Kit Kok Kwong
    Lan Lay Le Lei Leong Li Ling Lok Man Mei Min Ming Na Peng Ping Poh Pui Qi Qiang Rui Seng
    Shan Shu Siew Sin Siu Soon Swee Sze Tao Teck Ting Tsz Wah Wei Wen Wing Xiang Xin Xuan
    Yan Yi Yin Ying Yong Yu Yuen Yun Zhen Zhi
    """
)
MALAY_GIVEN: Final = _sorted(
    """
    Abdul Ahmad Aisyah Aminah Amir Azman Danial Faizal Farah Fatimah Hafiz Halim Hassan
    Haziq Hidayah Ibrahim Irfan Ismail Izzati Kamal Khairul Liyana Marina Mohamed Muhammad
    Nadia Noor Nur Nurul Rahman Rashid Razak Rohani Rosli Salmah Sarah Siti Syafiq Syahirah
    Yusof Zainab Zainal Zulkifli
    """
)
INDIAN_GIVEN: Final = _sorted(
    """
    Anand Arun Balakrishnan Chandran Deepa Desai Devi Ganesh Gopal Gupta Iyer Karthik Kaur
    Kavitha Krishnan Kumar Lakshmi Meena Mehta Menon Mohan Murugan Naidu Nair Patel Pillai
    Prakash Priya Raja Rajesh Ramesh Rao Ravi Reddy Sanjay Selvam Shah Shanti Sharma Singh
    Siva Subramaniam Suresh Vijay
    """
)


TOWNS: Final = [
    "Ang Mo Kio",
    "Bedok",
    "Bukit Batok",
    "Bukit Merah",
    "Choa Chu Kang",
    "Clementi",
    "Geylang",
    "Hougang",
    "Jurong West",
    "Jurong East",
    "Pasir Ris",
    "Punggol",
    "Sengkang",
    "Serangoon",
    "Tampines",
    "Toa Payoh",
    "Woodlands",
    "Yishun",
    "Holland",
    "Orchard",
    "Upper Thomson",
    "East Coast",
    "Bukit Timah",
    "Marine Parade",
]
STREET_KINDS: Final = [
    "Avenue",
    "Ave",
    "Street",
    "St",
    "Road",
    "Rd",
    "Drive",
    "Central",
    "Lane",
    "Crescent",
    "Close",
]
JALAN: Final = ["Besar", "Kayu", "Bukit Merah", "Eunos", "Chuan", "Sultan", "Kechil", "Tenteram"]
"""Of Singapore: towns, and what their streets are called."""


@dataclass(frozen=True, slots=True)
class Names:
    """A locale's given names and family names."""

    first: tuple[str, ...]
    last: tuple[str, ...]


def is_held_out(word: str) -> bool:
    """Whether a word is kept for validation: one in twenty, always the same ones."""
    return zlib.crc32(word.lower().encode()) % 20 == 0


def split(words: Iterable[str], *, held_out: bool) -> tuple[str, ...]:
    """The words of one side."""
    return tuple(word for word in words if is_held_out(word) == held_out)


@cache
def names_of(locale: str) -> Names:
    """All names that Faker knows in a locale."""
    provider: Any = next(p for p in Faker(locale).get_providers() if hasattr(p, "last_names"))
    first: set[str] = set()
    last: set[str] = set()
    for attribute in dir(provider):
        if attribute.startswith(("first_name", "last_name")):
            value = getattr(provider, attribute)
            if not callable(value):
                target = first if attribute.startswith("first") else last
                target.update(str(name) for name in value if not str(name).startswith("{{"))
    return Names(tuple(sorted(first)), tuple(sorted(last)))


@cache
def name_words() -> frozenset[str]:
    """The words of all names that Faker knows and of those here, in lower case."""
    everyone = [names_of(locale) for locale in LOCALES]
    own = (SURNAMES_OF_THE_CHINESE_DIASPORA, GIVEN_SYLLABLES, MALAY_GIVEN, INDIAN_GIVEN)
    lists = [*(one.first for one in everyone), *(one.last for one in everyone), *own]
    return frozenset(word.lower() for names in lists for name in names for word in name.split())


def signs() -> dict[str, tuple[str, ...]]:
    """The entries of signs.txt by section."""
    text = (resources.files(__package__) / "signs.txt").read_text(encoding="utf-8")
    sections: dict[str, tuple[str, ...]] = {}
    section = ""
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif line and not line.startswith("#"):
            entries = tuple(entry.strip() for entry in line.split("|") if entry.strip())
            sections[section] = (*sections.get(section, ()), *entries)
    return sections


_WORD = re.compile(r"(?<![\w.'`*:-])[a-z]{3,14}(?=[\s,;!?)]|[.:]\s)")
_MIN_COUNT: Final = 2


@cache
def words_of_documentation(without: tuple[str, ...]) -> tuple[str, ...]:
    """Ordinary English words: those in lower case in Python's own documentation.

    without: words that are left out (names, in lower case).
    """
    counts: Counter[str] = Counter()
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*.py")):
        if "test" in path.parts or "site-packages" in path.parts or "idlelib" in path.parts:
            continue
        try:
            tree = ast.parse(path.read_bytes())
        except (SyntaxError, ValueError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                counts.update(_WORD.findall(ast.get_docstring(node, clean=False) or ""))
    excluded = set(without)
    for topic in topics.values():
        counts.update(_WORD.findall(topic))
    return tuple(
        word for word, n in sorted(counts.items()) if n >= _MIN_COUNT and word not in excluded
    )
