"""Token classification from a Hugging Face folder: DeBERTa-v2 and v3, and others of the same task.

A folder holds config.json with id2label, model.safetensors (or pytorch_model.bin, of which tensors
alone are read) and tokenizer.json. The tokenizer and the labels go into the ONNX file, so that one
SHA-256 vouches for all that decides what is private.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.inference.engine import Tensors
from edge.pii.token_classifier import LABELS_KEY, MAX_TOKENS, MAX_TOKENS_KEY, TOKENIZER_KEY
from export.families import frameworks
from export.family import Axis, Family, Part, Port, Sample, Source, Tally
from export.material import Material

_OUTPUT: Final = "logits"
_OPSET: Final = 17
_TASK: Final = "ForTokenClassification"
_TOKENS: Final = Axis("tokens", 1, 64, MAX_TOKENS)
_LONG_EVERY: Final = 7
"""Every so many inputs is made of several sentences, as a long chunk of speech is."""
_LABELS: Final = (
    "O",
    *(f"{edge}-{kind}" for kind in ("NAME_STUDENT", "EMAIL", "USERNAME", "ID_NUM", "PHONE_NUM",
                                    "URL_PERSONAL", "STREET_ADDRESS") for edge in "BI"),
)  # fmt: skip
"""Of the many public models that were trained for Kaggle's task on students' essays."""
_V3_SMALL: Final = {
    "vocab_size": 128100, "hidden_size": 768, "num_hidden_layers": 6, "num_attention_heads": 12,
    "intermediate_size": 3072, "hidden_act": "gelu", "max_position_embeddings": 512,
    "type_vocab_size": 0, "relative_attention": True, "position_buckets": 256,
    "norm_rel_ebd": "layer_norm", "share_att_key": True, "pos_att_type": ["p2c", "c2p"],
    "layer_norm_eps": 1e-7, "max_relative_positions": -1, "position_biased_input": False,
}  # fmt: skip
"""microsoft/deberta-v3-small's config.json."""
_SPREAD: Final = 3.0
"""Standard deviation of random logits: as wide as those of trained networks."""


class TokenClassifierPart(Part):
    """Tokens to the logits of their labels."""

    name = ""
    opset = _OPSET
    precisions = ("fp32", "fp16")

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """model: a transformers model. tokenizer: a tokenizers.Tokenizer without truncation."""
        limit = min(int(getattr(model.config, "max_position_embeddings", MAX_TOKENS)), MAX_TOKENS)
        self._tokens = Axis("tokens", 1, min(_TOKENS.usual, limit), limit)
        names = ("input_ids", "attention_mask")
        self.inputs = tuple(Port(name, (1, self._tokens), np.int64) for name in names)
        labels = {str(k): str(v) for k, v in model.config.id2label.items()}
        self.metadata = {
            TOKENIZER_KEY: tokenizer.to_str(),
            LABELS_KEY: json.dumps(labels),
            MAX_TOKENS_KEY: str(limit),
        }
        self._model, self._tokenizer = model, tokenizer

    def to_onnx(self, out: Path) -> None:
        """Write the graph."""
        import torch

        ids = torch.ones(1, self._tokens.usual, dtype=torch.int64)
        frameworks.write_onnx(
            _logits_of(self._model), (ids, ids), out,
            inputs=self.inputs, outputs=(_OUTPUT,), opset=self.opset,
        )  # fmt: skip

    def samples(self, material: Material, count: int) -> list[Sample]:
        """Return sentences as tokens, one by one and several together."""
        sentences = material.sentences()
        samples = []
        for at in range(min(count, len(sentences))):
            several = _LONG_EVERY if at % _LONG_EVERY == 0 else 1
            words = " ".join(sentences[at : at + several]).split()
            ids = self._tokenizer.encode(words, is_pretokenized=True).ids[: self._tokens.most]
            row = np.array([ids], np.int64)
            samples.append(Sample({"input_ids": row, "attention_mask": np.ones_like(row)}))
        return samples

    def reference(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run the transformers model."""
        import torch

        tensors = {name: torch.from_numpy(value) for name, value in feeds.items()}
        with torch.no_grad():
            return {_OUTPUT: self._model(**tensors).logits.numpy()}

    def agreement(self, wanted: Tensors, got: Tensors, sample: Sample) -> Tally:
        """Count tokens with the same label."""
        before, after = (np.asarray(one[_OUTPUT]).argmax(-1) for one in (wanted, got))
        if before.shape != after.shape:
            return Tally(0, before.size)
        return Tally(int((before == after).sum()), before.size)


class TokenClassifierFamily(Family):
    """Folders whose config.json names an architecture for this task."""

    name = "token-classifier"
    requires = ("torch", "transformers", "tokenizers")
    random_variants = (
        Source(
            name="deberta-v3-small-random",
            path=None,
            weights="random",
            licence="MIT (architecture)",
            origin="microsoft/deberta-v3-small's config.json, random weights",
            family="token-classifier",
            options={"variant": "deberta-v3-small"},
        ),
    )

    def can_load(self, source: Source) -> bool:
        """Tell by config.json."""
        if source.path is None:
            return source.family == self.name
        stated = read_config(source.path).get("architectures") or ()
        return any(str(name).endswith(_TASK) for name in stated)

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a folder, or draw weights. Raises ModelError."""
        frameworks.load("transformers")
        if source.path is None:
            model, tokenizer = _random(), _letters()
        else:
            model = from_folder("AutoModelForTokenClassification", source.path, source.name)
            tokenizer = read_tokenizer(source.path, source.name)
        return (TokenClassifierPart(model, tokenizer),)


def read_config(folder: Path) -> Mapping[str, Any]:
    """Return a model folder's config.json; empty where there is none that can be read."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return config if isinstance(config, dict) else {}


def from_folder(kind: str, folder: Path, name: str) -> Any:
    """Load a transformers model: tensors alone, no code of the folder's, nothing from a hub.

    kind: an Auto class. Raises ModelError.
    """
    import transformers

    try:
        model = getattr(transformers, kind).from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, weights_only=True,
            attn_implementation="eager", dtype="float32",
        )  # fmt: skip
    except Exception as error:  # transformers', safetensors', pickle's
        line = (str(error).strip().splitlines() or [""])[0][:160]
        raise ModelError(
            f"{name}: transformers cannot load {folder.name} ({type(error).__name__}: {line}). It "
            "needs config.json and model.safetensors, or pytorch_model.bin with tensors alone."
        ) from error
    return model.eval()


def read_tokenizer(folder: Path, name: str) -> Any:
    """Load a folder's tokenizer.json, without truncation and padding. Raises ModelError."""
    from tokenizers import Tokenizer

    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception as error:  # the package raises bare Exception
        raise ModelError(
            f"{name}: {folder.name} has no tokenizer.json that can be read. Save it with "
            "AutoTokenizer.from_pretrained(…).save_pretrained(…)."
        ) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _logits_of(model: Any) -> Any:
    from torch import nn

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(
                input_ids=input_ids, attention_mask=attention_mask, return_dict=False
            )[0]

    return Logits()


def _random() -> Any:
    """Make deberta-v3-small with random weights that label different words differently."""
    import torch
    from transformers import DebertaV2Config, DebertaV2ForTokenClassification

    frameworks.seed()
    config = DebertaV2Config(**_V3_SMALL, id2label=dict(enumerate(_LABELS)))
    model = DebertaV2ForTokenClassification(config).eval()
    ids = torch.randint(4, 64, (1, 64))
    with torch.no_grad():
        model.classifier.weight *= _SPREAD / float(model(input_ids=ids).logits.std())
    return model


def _letters() -> Any:
    """Return a tokenizer of single letters: DeBERTa's own cannot be had without its files."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]"]
    letters = ["▁", *(chr(c) for c in range(33, 127))]
    vocabulary = [(piece, 0.0 if piece in special else -1.0) for piece in (*special, *letters)]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=special.index("[UNK]")))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.add_special_tokens(special)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        special_tokens=[(mark, special.index(mark)) for mark in ("[CLS]", "[SEP]")],
    )
    return tokenizer
