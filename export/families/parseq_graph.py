"""PARSeq (Bautista and Atienza, 2022) as a graph: docTR's network, each thing computed once.

docTR's own export unrolls its decoding as it is written: in each of 33 steps the whole text so far
and the whole picture are projected anew, and the best character is found by a Squeeze without axes,
which TensorRT refuses on a free batch. Here keys and values are kept from step to step, as any
cached decoder does, and every axis is named; the last pass, which refines all characters at once,
is docTR's own. Imports torch: only to be imported where that may be.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import nn


class CachedParseq(nn.Module):
    """Pictures (N, 3, 32, 128) → logits (N, 33, characters + 1), as PARSeq.forward has them."""

    def __init__(self, model: Any) -> None:
        """model: doctr.models.recognition.PARSeq."""
        super().__init__()
        self.model = model

    def forward(self, images: Any) -> Any:
        """Read all characters one after the other, then all again knowing their neighbours."""
        model, decoder = self.model, self.model.decoder
        features = model.feat_extractor(images)["features"][:, 1:, :]  # without the class token
        own, cross = decoder.attention, decoder.cross_attention
        # The input's size is fixed, and so is the number of patches.
        patches = int(features.shape[1])
        seen_keys, seen_values = (_heads(cross, at, features, patches) for at in (1, 2))
        steps = model.max_length + 1
        start = model.vocab_size + 1
        characters = torch.full_like(features[:, :1, 0], start, dtype=torch.long)
        written = [characters]
        keys: list[Any] = []
        values: list[Any] = []
        for step in range(steps):
            content = model.embed(characters)
            if step:
                content = content + model.pos_queries[:, step - 1 : step]
            content = decoder.content_norm(content)
            keys.append(_heads(own, 1, content, 1))
            values.append(_heads(own, 2, content, 1))
            query = model.pos_queries[:, step : step + 1]
            query = query + _attend(
                own, decoder.query_norm(query), torch.cat(keys, 2), torch.cat(values, 2)
            )
            query = query + _attend(cross, decoder.query_norm(query), seen_keys, seen_values)
            query = query + decoder.position_feed_forward(decoder.feed_forward_norm(query))
            characters = model.head(decoder.output_norm(query)).argmax(-1)  # (N, 1)
            written.append(characters)
        text = torch.cat(written[:-1], 1)
        # Every place sees all others that come before the text's end, except its own character,
        # which lies one further on.
        ended = (text == model.vocab_size).to(torch.int32).cumsum(1) > 0
        visible = ~(ended[:, None, None, :] | _own_places(steps)[None, None])
        queries = model.pos_queries[:, :steps].expand(images.shape[0], -1, -1)
        return model.head(model.decode(text, features, visible.int(), target_query=queries))


def _own_places(steps: int) -> Any:
    """(steps, steps) bool: at row i, column i + 1, where the text has character i."""
    return torch.diag(torch.ones(steps - 1, dtype=torch.bool), 1)


def _heads(attention: Any, which: int, values: Any, length: int) -> Any:
    """Project (N, T, D) to queries (which = 0), keys (1) or values (2): (N, heads, T, width)."""
    projected = attention.linear_layers[which](values)
    return projected.view(-1, length, attention.num_heads, attention.d_k).transpose(1, 2)


def _attend(attention: Any, query: Any, keys: Any, values: Any) -> Any:
    """Let one query (…, 1, D) look at projected keys and values; no mask: all are in the past."""
    looking = _heads(attention, 0, query, 1) / math.sqrt(attention.d_k)
    weights = torch.softmax(looking @ keys.transpose(-2, -1), -1)
    merged = (weights @ values).transpose(1, 2)
    return attention.output_linear(merged.reshape(-1, 1, attention.num_heads * attention.d_k))
