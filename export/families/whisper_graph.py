"""Whisper (Radford et al., 2022) as two graphs, from the network that transformers loads.

Encoder: mel (1, bins, 3000) → for each layer of the decoder the keys and values of what was heard,
cross.L.key and cross.L.value, (1, heads, 1500, width): computed once, where the usual export leaves
them to the decoder's first step and needs a second decoder for it, or a branch in the graph.
Decoder, one token at a time: token (1, 1) and position (1,) int64, past.L.{key,value} (1, heads, t,
width) with t = 0 at the first step, and the cross.* → logits (1, 1, tokens), present.L.{key,value}.
Imports torch: only to be imported where that may be.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Encoder(nn.Module):
    """Sound to the decoder's keys and values."""

    def __init__(self, model: Any) -> None:
        """model: transformers.WhisperForConditionalGeneration."""
        super().__init__()
        self.model = model.model

    def forward(self, mel: Any) -> tuple[Any, ...]:
        """Return key and value of each layer in turn."""
        hidden = self.model.encoder(mel).last_hidden_state
        found = []
        for layer in self.model.decoder.layers:
            attention = layer.encoder_attn
            found += [_heads(attention, p(hidden)) for p in (attention.k_proj, attention.v_proj)]
        return tuple(found)


class Decoder(nn.Module):
    """One token to the next one's logits."""

    def __init__(self, model: Any) -> None:
        """model: transformers.WhisperForConditionalGeneration."""
        super().__init__()
        self.decoder = model.model.decoder
        self.projection = model.proj_out

    def forward(self, token: Any, position: Any, *caches: Any) -> tuple[Any, ...]:
        """caches: past key and value of each layer in turn, then the encoder's."""
        layers = self.decoder.layers
        past, heard = caches[: 2 * len(layers)], caches[2 * len(layers) :]
        hidden = self.decoder.embed_tokens(token) + self.decoder.embed_positions.weight[position]
        present = []
        for at, layer in enumerate(layers):
            own = layer.self_attn
            before = layer.self_attn_layer_norm(hidden)
            keys = torch.cat([past[2 * at], _heads(own, own.k_proj(before))], 2)
            values = torch.cat([past[2 * at + 1], _heads(own, own.v_proj(before))], 2)
            present += [keys, values]
            # One query, at the end: nothing that it sees lies in its future, so there is no mask.
            hidden = hidden + _attend(own, before, keys, values)
            cross = layer.encoder_attn
            before = layer.encoder_attn_layer_norm(hidden)
            hidden = hidden + _attend(cross, before, heard[2 * at], heard[2 * at + 1])
            before = layer.final_layer_norm(hidden)
            hidden = hidden + layer.fc2(layer.activation_fn(layer.fc1(before)))
        return (self.projection(self.decoder.layer_norm(hidden)), *present)


def _heads(attention: Any, values: Any) -> Any:
    return values.view(1, -1, attention.num_heads, attention.head_dim).transpose(1, 2)


def _attend(attention: Any, before: Any, keys: Any, values: Any) -> Any:
    # Scaled before the product, as transformers does.
    query = _heads(attention, attention.q_proj(before)) * attention.scaling
    weights = torch.softmax(query @ keys.transpose(-1, -2), -1)
    return attention.out_proj((weights @ values).transpose(1, 2).reshape(1, 1, -1))
