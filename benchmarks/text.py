"""How much private text is recognised, and how many ordinary lines are hidden with it?

Judges lines as edge.pii.lines.LineJudge does in a picture, neighbours included:

  labelled      spans of sentences with known types, each as printed lines
  misread       the same with two characters in a hundred misread, and spaces lost and added
  sign          ordinary lines (notices, shops, packages), written by hand for this benchmark,
                as they are and in capitals
  made-up sign  ordinary lines generated from words that the classifier never learnt: the worst case
  words         words of street scenes as the catalogue's reader reads them

recall is the share of lines that are hidden, whatever they are taken for; precision that of lines
taken for a kind which are of it, among all labelled lines and signs. "all but bare numbers" leaves
out house numbers and postal codes that stand alone on a line. Towns, companies, dates and jobs are
not hidden by default; their share is shown beside the private types.

examples:
  python -m benchmarks.text sentences.json
  python -m benchmarks.text sentences.json --words text/ --threshold 0.2 --json
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any, Final

from rich.table import Table

from benchmarks._common import emit, main, parser
from benchmarks._text_lines import (
    BARE_NUMBER,
    KINDS,
    Page,
    generated_signs,
    labelled_pages,
    misread_pages,
    photographed_words,
    written_signs,
)
from edge.config_io import load_config
from edge.pii.classifier import TextClassifier
from edge.pii.lines import LineJudge
from edge.pii.spans import Kind

PROFILES: Final = ("balanced", "high_privacy")
_SHOWN: Final = tuple(kind for kind in Kind if kind not in {Kind.PLACE, Kind.ORGANISATION})
"""Kinds that every profile hides."""
_SIGNS: Final = 4000
_SEED: Final = 7


def profile_thresholds() -> dict[str, float]:
    """Return from which certainty on a line is hidden in each of PROFILES."""
    return {name: load_config(name).video.models.text.threshold for name in PROFILES}


def tally(judge: LineJudge, pages: list[Page]) -> Counter[tuple[str, Kind | None]]:
    """Count lines by their type and by what they are taken for."""
    counts: Counter[tuple[str, Kind | None]] = Counter()
    for page in pages:
        verdicts = judge.judge(page.lines)
        counts.update((kind, v.kind) for kind, v in zip(page.types, verdicts, strict=True))
    return counts


def shares(counts: Counter[tuple[str, Kind | None]]) -> dict[str, Any]:
    """Recall and precision by type, and overall recall of private lines."""
    result: dict[str, Any] = {}
    for name in sorted({name for name, _ in counts}):
        total = sum(n for (one, _), n in counts.items() if one == name)
        hidden = sum(n for (one, kind), n in counts.items() if one == name and kind is not None)
        result[name] = {"lines": total, "hidden": hidden / total}
        if name in KINDS:
            taken = {one: n for (one, kind), n in counts.items() if kind is KINDS[name]}
            right = sum(n for one, n in taken.items() if KINDS.get(one) is KINDS[name])
            result[name]["precision"] = right / sum(taken.values()) if taken else None
    for heading, left_out in (("private", ()), ("private, all but bare numbers", (BARE_NUMBER,))):
        names = [name for name in KINDS if name not in left_out]
        private = [(kind is not None, n) for (name, kind), n in counts.items() if name in names]
        total = sum(n for _, n in private)
        result[heading] = {"lines": total, "hidden": sum(n for hit, n in private if hit) / total}
    return result


def measure(sentences: Path, words: Path | None, threshold: float) -> dict[str, Any]:
    """Judge all lines at one threshold. Raises BenchmarkError, ModelError."""
    judge = LineJudge(TextClassifier.load(), hide=_SHOWN, threshold=threshold)
    pages = labelled_pages(sentences)
    result: dict[str, Any] = {"threshold": threshold}
    for name, misread in (("labelled", False), ("misread", True)):
        signs = tally(judge, written_signs(misread=misread, seed=_SEED))
        signs += tally(judge, generated_signs(_SIGNS, _SEED, misread=misread))
        counts = tally(judge, misread_pages(pages, _SEED) if misread else pages)
        result[name] = shares(counts + signs)
    if words is not None:
        counts = tally(judge, photographed_words(words))
        result["words"] = {
            "lines": counts.total(),
            "hidden": sum(n for (_, kind), n in counts.items() if kind is not None)
            / counts.total(),
        }
    return result


def tables(results: dict[str, dict[str, Any]]) -> list[Table]:
    """One table a threshold."""
    shown = []
    for profile, result in results.items():
        table = Table(title=f"{profile}: threshold {result['threshold']}")
        for heading in (
            "lines",
            "n",
            "hidden %",
            "precision %",
            "misread: hidden %",
            "precision %",
        ):
            table.add_column(heading, justify="left" if heading == "lines" else "right")
        names = ["private", "private, all but bare numbers", *KINDS, "sign", "made-up sign"]
        names += [name for name in result["labelled"] if name not in names]
        for name in names:
            clean, noisy = result["labelled"].get(name), result["misread"].get(name)
            if clean and noisy:
                table.add_row(
                    name, str(clean["lines"]), _percent(clean["hidden"]),
                        _percent(clean.get("precision")),
                    _percent(noisy["hidden"]), _percent(noisy.get("precision")),
                )  # fmt: skip
        if "words" in result:
            words = result["words"]
            table.add_row("photographed word", str(words["lines"]), _percent(words["hidden"]))
        shown.append(table)
    return shown


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.1f}"


def run(argv: list[str]) -> int:
    """Run the command; exit code 0 whatever the figures say."""
    arguments = parser("text", __doc__)
    arguments.add_argument(
        "sentences", type=Path, help="labelled sentences, JSON (presidio-research)"
    )
    arguments.add_argument(
        "--words", type=Path, metavar="DIR", help="labelled street scenes with textdet_test.json"
    )
    arguments.add_argument(
        "--threshold", type=float, help="instead of those of the profiles balanced and high_privacy"
    )
    arguments.add_argument("--json", action="store_true", help="print JSON instead of tables")
    args = arguments.parse_args(argv)
    chosen = {"chosen": args.threshold} if args.threshold is not None else profile_thresholds()
    results = {
        name: measure(args.sentences, args.words, threshold) for name, threshold in chosen.items()
    }
    emit(results, tables(results), as_json=args.json)
    return 0


if __name__ == "__main__":
    main(run)
