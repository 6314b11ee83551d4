"""Whisper from a Hugging Face folder: an encoder and a decoder that keeps what it has computed.

A folder holds config.json, model.safetensors (or pytorch_model.bin, of which tensors alone are
read), tokenizer.json, and generation_config.json where there is one. The tokenizer goes into the
decoder's ONNX file. edge/speech/whisper_onnx.py runs the pair.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelError
from edge.inference.engine import Tensors
from edge.speech.log_mel import WINDOW_FRAMES, log_mel
from edge.speech.whisper_onnx import FACTS_KEY, MAX_POSITIONS, TOKENIZER_KEY
from edge.speech.words import SAMPLE_RATE
from export.families import frameworks
from export.families.token_classifier import from_folder, read_config, read_tokenizer
from export.family import Axis, Family, Part, Port, Sample, Source, Tally
from export.material import Material

_OPSET: Final = 17
_ARCHITECTURE: Final = "WhisperForConditionalGeneration"
_MEL: Final = "mel"
_LOGITS: Final = "logits"
_LANGUAGES_FROM: Final = 51865
"""Tokens from which on a vocabulary has languages: Whisper's English one is a token smaller."""
_STRETCH_S: Final = 5.0
"""Of a recording, for one input: the speech lane's chunks."""
_STEPS: Final = (0, 1, 2, 3, 7, 12, 20, 33)
"""After how many tokens the decoder is compared, in turn."""
_SAME: Final = 1e-2
"""Of the largest value: two sounds' keys and values that are further apart are not the same."""
_TINY: Final = {
    "vocab_size": 51865, "num_mel_bins": 80, "d_model": 384,
    "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536,
    "decoder_layers": 4, "decoder_attention_heads": 6, "decoder_ffn_dim": 1536,
}  # fmt: skip
"""openai/whisper-tiny's config.json."""
_SPREAD: Final = 4.0
"""Standard deviation of random logits: as wide as those of trained networks."""


class _Part(Part):
    """What both halves share. model: transformers' WhisperForConditionalGeneration."""

    opset = _OPSET
    precisions = ("fp32", "fp16")

    def __init__(self, model: Any, metadata: Mapping[str, str]) -> None:
        config = model.config
        self._model = model
        self._bins = int(config.num_mel_bins)
        self._layers = int(config.decoder_layers)
        self._heads = int(config.decoder_attention_heads)
        self._width = int(config.d_model) // self._heads
        self._heard = int(config.max_source_positions)
        self.metadata = metadata

    def _names(self, kind: str) -> tuple[str, ...]:
        return tuple(f"{kind}.{at}.{what}" for at in range(self._layers) for what in _WHAT)

    def _encode(self, sound: NDArray[np.float32]) -> Any:
        """Return transformers' hidden states for a piece of sound."""
        import torch

        with torch.no_grad():
            mel = torch.from_numpy(log_mel(sound, self._bins))
            return self._model.model.encoder(mel).last_hidden_state

    def _crossed(self, hidden: Any) -> list[Any]:
        """Return keys and values of all layers as transformers' own cache has them."""
        import torch
        from transformers.cache_utils import DynamicCache, EncoderDecoderCache

        cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        with torch.no_grad():
            self._model.model.decoder(
                input_ids=torch.tensor([[0]]), encoder_hidden_states=hidden,
                past_key_values=cache, use_cache=True,
            )  # fmt: skip
        layers = cache.cross_attention_cache.layers
        return [one for layer in layers for one in (layer.keys, layer.values)]


class EncoderPart(_Part):
    """Sound to the decoder's keys and values."""

    name = "encoder"

    def __init__(self, model: Any) -> None:
        super().__init__(model, {})
        self.inputs = (Port(_MEL, (1, self._bins, WINDOW_FRAMES)),)

    def to_onnx(self, out: Path) -> None:
        """Write the graph."""
        import torch

        from export.families.whisper_graph import Encoder

        example = torch.zeros(self.inputs[0].sides("usual"))
        frameworks.write_onnx(
            Encoder(self._model), (example,), out,
            inputs=self.inputs, outputs=self._names("cross"), opset=self.opset,
        )  # fmt: skip

    def samples(self, material: Material, count: int) -> list[Sample]:
        """Return stretches of recordings."""
        stretches = _stretches(material, count)
        return [Sample({_MEL: log_mel(sound, self._bins)}) for sound in stretches]

    def reference(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run transformers' encoder, and its decoder for what it keeps of it."""
        import torch

        with torch.no_grad():
            hidden = self._model.model.encoder(torch.from_numpy(feeds[_MEL])).last_hidden_state
        found = (one.numpy() for one in self._crossed(hidden))
        return dict(zip(self._names("cross"), found, strict=True))

    def agreement(self, wanted: Tensors, got: Tensors, sample: Sample) -> Tally:
        """Count keys and values that the decoder could not tell apart."""
        same = 0
        for name, value in wanted.items():
            scale = float(np.abs(value).max()) or 1.0
            apart = np.abs(np.asarray(got[name], np.float32) - value).max()
            same += bool(apart <= _SAME * scale)
        return Tally(same, len(wanted))


class DecoderPart(_Part):
    """One token to the next one."""

    name = "decoder"

    def __init__(self, model: Any, tokenizer: Any, generation: Mapping[str, Any]) -> None:
        suppress = generation.get("suppress_tokens", model.config.get_text_config().to_dict().get(
            "suppress_tokens")) or []  # fmt: skip
        multilingual = generation.get(
            "is_multilingual", int(model.config.vocab_size) >= _LANGUAGES_FROM
        )
        facts = {
            "bins": int(model.config.num_mel_bins),
            "multilingual": bool(multilingual),
            "suppress": sorted(int(token) for token in suppress if int(token) >= 0),
        }
        metadata = {TOKENIZER_KEY: tokenizer.to_str(), FACTS_KEY: json.dumps(facts)}
        super().__init__(model, metadata)
        past = Axis("past", 0, 32, MAX_POSITIONS - 1)
        self.inputs = (
            Port("token", (1, 1), np.int64),
            Port("position", (1,), np.int64),
            *(Port(n, (1, self._heads, past, self._width)) for n in self._names("past")),
            *(Port(n, (1, self._heads, self._heard, self._width)) for n in self._names("cross")),
        )
        self._outputs = (_LOGITS, *self._names("present"))

    def to_onnx(self, out: Path) -> None:
        """Write the graph."""
        import torch

        from export.families.whisper_graph import Decoder

        example = [torch.from_numpy(np.zeros(p.sides("usual"), p.dtype)) for p in self.inputs]
        frameworks.write_onnx(
            Decoder(self._model), example, out,
            inputs=self.inputs, outputs=self._outputs, opset=self.opset,
        )  # fmt: skip

    def samples(self, material: Material, count: int) -> list[Sample]:
        """Return steps of the decoder on recordings, each after a different number of tokens."""
        samples = []
        for at, sound in enumerate(_stretches(material, count)):
            hidden = self._encode(sound)
            step = _STEPS[at % len(_STEPS)]
            feeds: dict[str, NDArray[Any]] = {}
            token = int(self._model.config.decoder_start_token_id)
            cross = [one.numpy() for one in self._crossed(hidden)]
            past = [np.zeros((1, self._heads, 0, self._width), np.float32)] * (2 * self._layers)
            for position in range(step + 1):
                feeds = {
                    "token": np.array([[token]], np.int64),
                    "position": np.array([position], np.int64),
                    **dict(zip(self._names("past"), past, strict=True)),
                    **dict(zip(self._names("cross"), cross, strict=True)),
                }
                if position == step:
                    break
                outputs = self.reference(feeds)
                token = int(outputs[_LOGITS].argmax())
                past = [outputs[name] for name in self._names("present")]
            samples.append(Sample(feeds))
        return samples

    def reference(self, feeds: Tensors) -> dict[str, NDArray[Any]]:
        """Run transformers' decoder with its own cache, filled from the feeds."""
        import torch
        from transformers.cache_utils import DynamicCache, EncoderDecoderCache

        def filled(kind: str) -> Any:
            cache = DynamicCache()
            for at in range(self._layers):
                pair = [torch.from_numpy(feeds[f"{kind}.{at}.{what}"]) for what in _WHAT]
                cache.update(*pair, at)
            return cache

        cache = EncoderDecoderCache(filled("past"), filled("cross"))
        past = int(feeds["position"][0])
        with torch.no_grad():
            hidden = self._model.model.decoder(
                input_ids=torch.from_numpy(feeds["token"]),
                # Not looked at where its keys and values are there, but it has to be something.
                encoder_hidden_states=torch.zeros(1, self._heard, self._heads * self._width),
                past_key_values=cache,
                position_ids=torch.tensor([[past]]),
                use_cache=True,
            ).last_hidden_state
            logits = self._model.proj_out(hidden)
        layers = cache.self_attention_cache.layers
        present = [one.numpy() for layer in layers for one in (layer.keys, layer.values)]
        return dict(zip(self._outputs, (logits.numpy(), *present), strict=True))

    def agreement(self, wanted: Tensors, got: Tensors, sample: Sample) -> Tally:
        """Say whether the same token comes next."""
        before, after = (int(np.asarray(one[_LOGITS]).argmax()) for one in (wanted, got))
        return Tally(int(before == after), 1)


_WHAT: Final = ("key", "value")


class WhisperFamily(Family):
    """Folders whose config.json names Whisper."""

    name = "whisper"
    requires = ("torch", "transformers", "tokenizers")
    random_variants = (
        Source(
            name="whisper-tiny-random",
            path=None,
            weights="random",
            licence="Apache-2.0 (architecture)",
            origin="openai/whisper-tiny's config.json, random weights",
            family="whisper",
            options={"variant": "tiny"},
        ),
    )

    def can_load(self, source: Source) -> bool:
        """Tell by config.json."""
        if source.path is None:
            return source.family == self.name
        return _ARCHITECTURE in (read_config(source.path).get("architectures") or ())

    def open(self, source: Source) -> tuple[Part, ...]:
        """Load a folder, or draw weights. Raises ModelError."""
        frameworks.load("transformers")
        generation: Mapping[str, Any] = {}
        if source.path is None:
            model, tokenizer = _random(), _bytes()
        else:
            model = from_folder(_ARCHITECTURE, source.path, source.name)
            tokenizer = read_tokenizer(source.path, source.name)
            generation = _generation(source.path)
        if int(model.config.max_target_positions) != MAX_POSITIONS:
            raise ModelError(
                f"{source.name} has places for {model.config.max_target_positions} tokens, Whisper "
                f"for {MAX_POSITIONS}. Use weights of the published architecture."
            )
        return EncoderPart(model), DecoderPart(model, tokenizer, generation)


def _generation(folder: Path) -> Mapping[str, Any]:
    try:
        stated = json.loads((folder / "generation_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return stated if isinstance(stated, dict) else {}


def _stretches(material: Material, count: int) -> list[NDArray[np.float32]]:
    """Return pieces of recordings, as many different ones as there are, then quieter ones."""
    length = round(_STRETCH_S * SAMPLE_RATE)

    def pieces() -> Iterator[NDArray[np.float32]]:
        for _, sound in material.sounds():
            for start in range(0, max(1, len(sound) - SAMPLE_RATE), length):
                yield sound[start : start + length]

    found: list[NDArray[np.float32]] = []
    for piece in pieces():
        if len(found) == count:
            break
        found.append(piece)
    gain = 0.5
    while found and len(found) < count:
        found += [(piece * gain).astype(np.float32) for piece in found[: count - len(found)]]
        gain /= 2
    return found


def _random() -> Any:
    """Make Whisper tiny with random weights whose next token depends on what is heard."""
    import torch
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    frameworks.seed()
    config = WhisperConfig(**_TINY, attn_implementation="eager")
    model = WhisperForConditionalGeneration(config).eval()
    with torch.no_grad():
        # As drawn, all attention is even and whatever is heard comes out the same.
        for layer in model.model.decoder.layers:
            layer.encoder_attn.q_proj.weight *= 8
            layer.encoder_attn.v_proj.weight *= 8
        tokens = torch.tensor([[1, 2, 3]])
        logits = model(input_features=torch.randn(1, 80, 3000), decoder_input_ids=tokens).logits
        model.proj_out.weight *= _SPREAD / float(logits.std())
    return model


def _bytes() -> Any:
    """Return a tokenizer of bytes with Whisper's marks: its own cannot be had without its files."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({letter: at for at, letter in enumerate(letters)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    marks = ("endoftext", "startoftranscript", "en", "transcribe", "notimestamps")
    tokenizer.add_special_tokens([f"<|{mark}|>" for mark in marks])
    return tokenizer
