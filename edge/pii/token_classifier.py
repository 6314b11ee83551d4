"""Token classification by a large model, such as DeBERTa.

Either one ONNX file that `privaedge export` made, with its tokenizer and labels as metadata; or a
folder with model.onnx, tokenizer.json (as the `tokenizers` package reads it) and config.json with
id2label. Labels are those of public models for private text; each is taken for one of our kinds,
and what has no counterpart counts as outside.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.inference.choice import engine_maker
from edge.inference.engine import Engine
from edge.pii.spans import Kind
from edge.pii.tagger import OUTSIDE, Label, Scores, checked

_KINDS: Final = (
    (Kind.EMAIL, r"e?mail"),
    (Kind.USERNAME, r"user_?name|handle|nick"),
    (Kind.URL, r"url|domain|website"),
    (Kind.PHONE, r"phone|tel|fax|mobile"),
    (Kind.CARD, r"card|cvv|cvc"),
    (Kind.SECRET, r"password|passwd|pin\b|secret|api_?key|credential"),
    (Kind.BIRTHDAY, r"birth|dob"),
    (Kind.PLATE, r"plate|vehicle_?(reg|vrm)"),
    (Kind.ADDRESS, r"street|address|zip|post_?code|building|secondary|unit|house"),
    (Kind.ID, r"id_?num|(^|_)id($|_)|ssn|passport|licen[cs]e|account|iban|bic|swift|tax|social|ip"
              r"|imei|mac|vin|driver"),
    (Kind.ORGANISATION, r"^org|company|employer"),
    (Kind.PLACE, r"^loc|^gpe|city|state|county|country|place"),
    (Kind.NAME, r"^per|name|student|person"),
)  # fmt: skip
"""Tried in order on a label in lower case, without its B- or I-."""

_NETS: Final = re.compile(r"ip_?(v4|v6|address)?$|mac(_?address)?$|e?mail(_?address)?$|url")
MAX_TOKENS: Final = 512
"""Of one input: what DeBERTa and its kin are trained with."""
TOKENIZER_KEY: Final = "tokenizer"
LABELS_KEY: Final = "id2label"
MAX_TOKENS_KEY: Final = "max_tokens"
"""Metadata of an exported file: tokenizer.json's text, {number: label} as JSON, tokens."""
_MIN_STRIDE: Final = 64


def kind_of(label: str) -> Kind | None:
    """Return which of our kinds a model's label means: "B-NAME_STUDENT" → NAME; None for others."""
    bare = re.sub(r"^[bilesu]-", "", label.lower()).replace("-", "_")
    if bare in ("o", "other", "none"):
        return None
    if _NETS.match(bare) and not bare.startswith(("e", "mail", "url")):
        return Kind.ID  # addresses of machines are no streets
    return next((kind for kind, pattern in _KINDS if re.search(pattern, bare)), None)


class TokenClassifier:
    """A token classification model behind the TokenTagger interface."""

    def __init__(
        self, engine: Engine, tokenizer: Any, labels: Sequence[str], *, max_tokens: int
    ) -> None:
        """Use an engine with input_ids and attention_mask (1, t) int64 → logits (1, t, labels).

        tokenizer: a tokenizers.Tokenizer. max_tokens: longest input; longer ones are looked at in
        overlapping pieces.
        """
        self._engine = engine
        self._tokenizer = tokenizer
        self._max_tokens = max_tokens
        self._labels = tuple(_label(name) for name in labels)
        self._own_special = int(tokenizer.num_special_tokens_to_add(False))

    @classmethod
    def load(cls, folder: Path, *, threads: int = 1, device: str = "cpu") -> TokenClassifier:
        """Load a model from a folder. device: as runtime.device.

        Raises ModelError where a file is missing or not what it should be, the `tokenizers` package
        is not installed, or the device cannot run it.
        """
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            labels = _labels(config["id2label"])
            limit = int(config.get("max_position_embeddings", MAX_TOKENS))
            model = (folder / "model.onnx").read_bytes()
            tokenizer = (folder / "tokenizer.json").read_text(encoding="utf-8")
        except OSError as error:
            raise ModelError(
                f"the tagger's folder {folder} cannot be read ({error.strerror}). It needs "
                "model.onnx, tokenizer.json and config.json."
            ) from error
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"{folder / 'config.json'} has no usable id2label. Use the model's own config.json."
            ) from error
        digest = hashlib.sha256(model).hexdigest()
        engine = engine_maker(model, folder.name, digest, device=device, threads=threads)()
        return cls(
            _checked_engine(engine),
            _tokenizer(tokenizer, str(folder / "tokenizer.json")),
            labels,
            max_tokens=min(limit, MAX_TOKENS),
        )

    @classmethod
    def of(cls, engine: Engine) -> TokenClassifier:
        """Use an exported model, whose metadata holds its tokenizer and labels.

        Raises ModelError where it does not, or the `tokenizers` package is not installed.
        """
        try:
            labels = _labels(json.loads(engine.metadata[LABELS_KEY]))
            limit = int(engine.metadata.get(MAX_TOKENS_KEY, MAX_TOKENS))
            tokenizer = engine.metadata[TOKENIZER_KEY]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(
                f"model {engine.name} does not bring its tokenizer and labels. Export it with "
                "`privaedge export --family token-classifier`, or name a folder."
            ) from error
        return cls(
            _checked_engine(engine),
            _tokenizer(tokenizer, f"the tokenizer of {engine.name}"),
            labels,
            max_tokens=max(1, min(limit, MAX_TOKENS)),
        )

    @property
    def labels(self) -> tuple[Label, ...]:
        """Meaning of the columns, in the model's order; several may mean the same."""
        return (OUTSIDE, *self._labels)

    def scores(self, words: Sequence[str]) -> Scores:
        """Return (n, labels) float32. Raises InferenceError.

        A word takes the scores of its most private piece: one piece that tells is enough. Column 0
        is left for words of which the tokenizer makes nothing.
        """
        result = np.zeros((len(words), 1 + len(self._labels)), np.float32)
        result[:, 0] = 1
        if not words:
            return result
        encoding = self._tokenizer.encode(
            list(words), is_pretokenized=True, add_special_tokens=False
        )
        owners = encoding.word_ids
        room = max(1, self._max_tokens - self._own_special)
        step = max(1, room - min(_MIN_STRIDE, room // 2))
        private = np.array([label.kind is not None for label in self._labels])
        best = np.full(len(words), -1.0)
        for begin in range(0, max(1, len(encoding.ids)), step):
            ids = encoding.ids[begin : begin + room]
            if not ids:
                break
            rows = self._run(ids)
            for row, word in zip(rows, owners[begin : begin + room], strict=True):
                weight = float(row[private].sum())
                if word is not None and weight > best[word]:
                    best[word] = weight
                    result[word, 0] = 0
                    result[word, 1:] = row
            if begin + room >= len(encoding.ids):
                break
        return result

    def _run(self, ids: list[int]) -> Scores:
        """Return (len(ids), labels) probabilities of pieces, between the model's own marks."""
        before, after = self._marks()
        all_ids = np.array([[*before, *ids, *after]], np.int64)
        feeds: dict[str, NDArray[np.int64]] = {
            "input_ids": all_ids,
            "attention_mask": np.ones_like(all_ids),
        }
        if "token_type_ids" in self._engine.inputs:
            feeds["token_type_ids"] = np.zeros_like(all_ids)
        outputs = self._engine.run(feeds)
        logits = np.asarray(outputs[self._engine.outputs[0]], np.float64)
        expected = (1, all_ids.shape[1], len(self._labels))
        if logits.shape != expected:
            return checked(logits, len(ids), len(self._labels))  # raises, and says which shape
        logits = logits[0, len(before) : len(before) + len(ids)]
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return checked(powers / powers.sum(axis=-1, keepdims=True), len(ids), len(self._labels))

    def _marks(self) -> tuple[list[int], list[int]]:
        """Return what the tokenizer puts before and after a text: [CLS], [SEP]."""
        if not self._own_special:
            return [], []
        marked = self._tokenizer.encode(["a"], is_pretokenized=True, add_special_tokens=True)
        special = marked.special_tokens_mask
        before = special.index(0) if 0 in special else len(special)
        return list(marked.ids[:before]), [
            one for one, mark in zip(marked.ids[before:], special[before:], strict=True) if mark
        ]


def _label(name: str) -> Label:
    kind = kind_of(name)
    return OUTSIDE if kind is None else Label(kind, begins=name[:2].upper() == "B-")


def _labels(stated: Any) -> list[str]:
    """Return labels in order from {number: label}. Raises KeyError, ValueError, AttributeError."""
    names = {int(key): str(value) for key, value in stated.items()}
    return [names[at] for at in range(len(names))]


def _tokenizer(text: str, what: str) -> Any:
    """Return a tokenizers.Tokenizer from tokenizer.json's text. Raises ModelError."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise ModelError(
            "a token classification model needs the tokenizers package. "
            "Install it: pip install 'privaedge[speech]'."
        ) from None
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # the package raises bare Exception
        raise ModelError(
            f"{what} cannot be read by tokenizers. Use a file that its save() wrote."
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _checked_engine(engine: Engine) -> Engine:
    if missing := {"input_ids", "attention_mask"} - set(engine.inputs):
        raise ModelError(
            f"model {engine.name} has no input {', '.join(sorted(missing))}. "
            "Export it as token classification."
        )
    return engine
