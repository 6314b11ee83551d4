"""Real CTranslate2 Whisper models that are a few kilobytes small and understand nothing.

No trained Whisper can be had from a package index, so what is tested with these is the contract
with faster-whisper and CTranslate2: loading, feeding, reading, and what happens when an answer is
empty, never ends, or is no number. That words are right is for whoever has a trained model:
python -m benchmarks.speech FOLDER --model NAME.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

WIDTH = 16
LETTERS = [chr(c) for c in (*range(33, 127), *range(161, 173), *range(174, 256))]
"""Stand-ins for bytes in byte-level BPE; the 68 bytes without a glyph of their own follow."""
OTHERS = [chr(256 + n) for n in range(68)]
SPECIAL = [
    "<|endoftext|>", "<|startoftranscript|>", "<|en|>", "<|translate|>", "<|transcribe|>",
    "<|startoflm|>", "<|startofprev|>", "<|nospeech|>", "<|notimestamps|>",
]  # fmt: skip
TIMES = [f"<|{n * 0.02:.2f}|>" for n in range(1501)]
VOCABULARY = [*LETTERS, *OTHERS, *SPECIAL, *TIMES]

Kind = Literal["random", "silent", "endless", "nan"]


def make_whisper(folder: Path, kind: Kind, seed: int = 0) -> Path:
    """Write a model folder. silent: ends at once; endless: says one letter for ever."""
    pytest.importorskip("faster_whisper", reason="the package faster-whisper is not installed")
    from ctranslate2.specs import whisper_spec

    spec = whisper_spec.WhisperSpec(1, 1, 1, 1)
    rng = np.random.default_rng(seed)
    scale = 1.0 if kind == "random" else 0.0

    def weights(*shape: int) -> np.ndarray:
        return (scale * rng.normal(0, 0.5, shape)).astype(np.float32)

    def linear(layer, out: int, into: int) -> None:
        layer.weight, layer.bias = weights(out, into), weights(out)

    def norm(layer) -> None:
        layer.gamma, layer.beta = np.ones(WIDTH, np.float32), np.zeros(WIDTH, np.float32)

    def attention(layer, parts: list[int]) -> None:
        norm(layer.layer_norm)
        for part, width in zip(layer.linear, parts, strict=True):
            linear(part, width * WIDTH, WIDTH)

    def feed_forward(layer) -> None:
        norm(layer.layer_norm)
        linear(layer.linear_0, 4 * WIDTH, WIDTH)
        linear(layer.linear_1, WIDTH, 4 * WIDTH)

    encoder, decoder = spec.encoder, spec.decoder
    encoder.conv1.weight, encoder.conv1.bias = weights(WIDTH, 80, 3), weights(WIDTH)
    encoder.conv2.weight, encoder.conv2.bias = weights(WIDTH, WIDTH, 3), weights(WIDTH)
    encoder.position_encodings.encodings = weights(1500, WIDTH)
    decoder.position_encodings.encodings = weights(448, WIDTH)
    decoder.embeddings.weight = weights(len(VOCABULARY), WIDTH)
    norm(encoder.layer_norm)
    norm(decoder.layer_norm)
    attention(encoder.layer[0].self_attention, [3, 1])
    attention(decoder.layer[0].self_attention, [3, 1])
    attention(decoder.layer[0].attention, [1, 2, 1])
    feed_forward(encoder.layer[0].ffn)
    feed_forward(decoder.layer[0].ffn)
    decoder.projection.weight = weights(len(VOCABULARY), WIDTH)
    bias = weights(len(VOCABULARY))
    if kind != "random":
        bias[VOCABULARY.index("<|endoftext|>" if kind == "silent" else "b")] = 20
    if kind == "nan":
        decoder.layer_norm.beta[:] = np.nan
    decoder.projection.bias = bias
    spec.register_vocabulary(VOCABULARY)
    spec.config.suppress_ids, spec.config.suppress_ids_begin = [], []
    spec.config.lang_ids = [VOCABULARY.index("<|en|>")]
    spec.config.alignment_heads = [(0, 0)]
    spec.validate()
    spec.optimize()
    folder.mkdir(parents=True)
    spec.save(str(folder))
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer()))
    return folder


def _tokenizer() -> dict:
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
             "use_regex": True}  # fmt: skip
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": VOCABULARY.index(token), "content": token, "single_word": False,
             "lstrip": False, "rstrip": False, "normalized": False, "special": True}
            for token in SPECIAL
        ],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": None,
        "decoder": level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
            "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
            "vocab": {token: index for index, token in enumerate(VOCABULARY)}, "merges": [],
        },
    }  # fmt: skip
