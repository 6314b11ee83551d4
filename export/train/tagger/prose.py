"""Ordinary English prose that every Python has: the documentation inside its standard library.

It widens the vocabulary far beyond the grammar's. Only sentences in plain words are kept: no word
in the middle begins with a capital (so no names) and none has digits or signs.
"""

from __future__ import annotations

import ast
import random
import re
import sysconfig
from pathlib import Path
from typing import Final

_SENTENCE: Final = re.compile(r"[A-Z][a-z']*(?:,? [a-z']+){4,24}[.!?]")
_FIRST_IS_NAME: Final = ("Guido", "Python", "Unix", "Tk", "Windows")


def prose(limit: int, seed: int) -> list[str]:
    """Return up to limit sentences in lower case, without punctuation, shuffled by seed."""
    found: set[str] = set()
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        if "site-packages" in path.parts or "test" in path.parts or "tests" in path.parts:
            continue
        try:
            source = path.read_text(encoding="utf-8")
            tree = ast.parse(source)
        except (SyntaxError, UnicodeDecodeError, ValueError):
            continue
        texts = [
            ast.get_docstring(node) or ""
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
        ]
        texts.append(re.sub(r"\n\s*#+ ?", " ", source))
        if path.name == "topics.py":
            texts += [n.value for n in ast.walk(tree)
                      if isinstance(n, ast.Constant) and isinstance(n.value, str)]  # fmt: skip
        for text in texts:
            for match in _SENTENCE.finditer(" ".join(text.split())):
                if not match[0].startswith(_FIRST_IS_NAME):
                    found.add(match[0].lower().replace(",", "").rstrip(".!?"))
    sentences = sorted(found)
    random.Random(seed).shuffle(sentences)  # noqa: S311 - text, no secret
    return sentences[:limit]
