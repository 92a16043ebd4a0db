"""A decoder's forward pass for sampling: Gemma 3, Llama, Mistral and Qwen 3 in one short loop.

It reads the weights of a transformers model, fuses what can be fused and keeps a key-value cache
whose rows stand at different positions, so that a finished row is replaced at once. One ``step``
runs the next token of every row and the whole prompts of new rows through the same matrix
products. Which token comes next is left to ``choose``, which row comes next to ``transformers``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from notesmith.lm.backends.weights import Layer, read_weights

# Cache lengths are multiples of this: tight rows are read faster, and growing them copies.
_GRAIN = 32
# Prompt tokens run together: enough for the matrix products, few enough for the caches.
_CHUNK = 512
# A prompt, without the prefix and its last token, and the rows that begin with it.
_RowsOf = dict[tuple[int, ...], list[int]]


@dataclass(frozen=True, slots=True)
class _Prefill:
    """Prompt tokens of new rows, one after another, padded by index to ``(prompt, length)``."""

    tokens: Tensor  # (n,)
    positions: Tensor  # (n,)
    pad: Tensor  # (n_prompts, longest): index into the flat tokens
    unpad: Tensor  # (n,): index into the padded ones, flattened
    source: Tensor  # (n_copies,): flat token to write ...
    row: Tensor  # ... to this cache row
    slot: Tensor  # ... at this position
    masks: dict[int | None, Tensor]  # window -> (longest, prefix + longest), True is seen


class Decoder:
    """The weights, and the cache of the rows being written."""

    refills = True

    def __init__(self, model: Any, *, dtype: torch.dtype | None = None) -> None:
        """Take the weights of a transformers causal model, in ``dtype`` if given.

        Raises:
            UnsupportedModelError: another architecture, or an option that is not reproduced.
        """
        weights = read_weights(model, dtype)
        self.dtype, self.device = weights.embed.dtype, weights.embed.device
        self._weights = weights
        self.layers = weights.layers
        self.head_dim, self.kv_heads = weights.head_dim, weights.kv_heads
        self.groups = weights.heads // weights.kv_heads
        self._width = weights.heads * weights.head_dim
        self._rotary = model.model.rotary_emb
        self._ropes: dict[str, tuple[Tensor, Tensor]] = {}
        self._capacity = 0
        self.keys = torch.empty(0)
        self.values = torch.empty(0)
        self._prefix = 0

    @property
    def bytes_per_token(self) -> int:
        """Memory of one token of one row in the cache."""
        return 2 * len(self.layers) * self.kv_heads * self.head_dim * self.dtype.itemsize

    def begin(self, n_rows: int, max_length: int, prefix: Sequence[int] = ()) -> None:
        """Make an empty cache for ``n_rows``; ``prefix`` begins every prompt and is run once."""
        self._ropes = {
            name: self._rope(name, max_length) for name in {layer.rope for layer in self.layers}
        }
        self._capacity, self._prefix = 0, 0
        n_layers = len(self.layers)
        shape = (n_layers, n_rows, self.kv_heads)
        self.keys = torch.zeros(*shape, self.head_dim, 0, dtype=self.dtype, device=self.device)
        self.values = torch.zeros(*shape, 0, self.head_dim, dtype=self.dtype, device=self.device)
        if prefix:
            self._fit(len(prefix))
            none = torch.empty(0, dtype=torch.long, device=self.device)
            self._forward(none, none, {tuple(prefix): [0]})
            self.keys[:, 1:] = self.keys[:, :1]
            self.values[:, 1:] = self.values[:, :1]
            self._prefix = len(prefix)

    def step(
        self,
        tokens: Tensor,
        positions: Tensor,
        *,
        longest: int,
        new: Sequence[tuple[int, Sequence[int]]] = (),
    ) -> Tensor:
        """Logits ``(rows, vocabulary)`` after ``tokens[i]`` at ``positions[i]`` of row ``i``.

        ``longest`` is the largest position + 1. ``new`` rows begin here: ``(row, prompt)``, the
        last token of the prompt being in ``tokens`` too. Equal prompts are run once.
        """
        self._fit(longest)
        rows_of: dict[tuple[int, ...], list[int]] = {}
        for row, prompt in new:
            inner = tuple(prompt[self._prefix : -1])
            if inner:
                rows_of.setdefault(inner, []).append(row)
        *first, last = _chunks(rows_of)
        for chunk in first:
            self._forward(tokens[:0], positions[:0], chunk)
        hidden = self._forward(tokens, positions, last)
        return self._weights.head(self._weights.norm(hidden))

    def keep(self, order: Sequence[int]) -> None:
        """Let row ``i`` continue what row ``order[i]`` held; later rows are free."""
        moved = [(i, old) for i, old in enumerate(order) if i != old]
        if moved:
            to = torch.tensor([i for i, _ in moved], device=self.device)
            old = torch.tensor([o for _, o in moved], device=self.device)
            for layer in range(len(self.layers)):
                self.keys[layer].index_copy_(0, to, self.keys[layer].index_select(0, old))
                self.values[layer].index_copy_(0, to, self.values[layer].index_select(0, old))

    def _fit(self, longest: int) -> None:
        """Make the cache as long as the longest row, rounded up."""
        wanted = -(-longest // _GRAIN) * _GRAIN
        # A little too long is cheaper than copying to and fro as long rows come and go.
        if wanted <= self._capacity <= wanted + _GRAIN:
            return
        same = min(wanted, self._capacity)
        *shape, head_dim, _ = self.keys.shape
        keys = self.keys.new_zeros(*shape, head_dim, wanted)
        values = self.values.new_zeros(*shape, wanted, head_dim)
        keys[..., :same] = self.keys[..., :same]
        values[..., :same, :] = self.values[..., :same, :]
        self.keys, self.values, self._capacity = keys, values, wanted

    def _rope(self, name: str, length: int) -> tuple[Tensor, Tensor]:
        """Cosines and signed sines ``(length, head_dim)``: ``x cos + swap_halves(x) sin``."""
        positions = torch.arange(length, device=self.device)[None]
        x = torch.zeros(1, dtype=torch.float32, device=self.device)
        cos, sin = self._rotary(x, positions, name) if name else self._rotary(x, positions)
        cos, sin = cos[0].to(self.dtype), sin[0].to(self.dtype)
        half = self.head_dim // 2
        return cos, torch.cat((-sin[:, :half], sin[:, half:]), dim=-1)

    def _prefill(self, rows_of: _RowsOf) -> _Prefill | None:
        if not rows_of:
            return None
        prompts, rows = list(rows_of), list(rows_of.values())
        lengths = [len(p) for p in prompts]
        longest, start = max(lengths), self._prefix
        pad = torch.zeros(len(prompts), longest, dtype=torch.long)
        unpad: list[int] = []
        source: list[int] = []
        row: list[int] = []
        slot: list[int] = []
        first = 0
        for i, n in enumerate(lengths):
            own = range(first, first + n)
            pad[i, :n] = torch.arange(first, first + n)
            unpad += range(i * longest, i * longest + n)
            for r in rows[i]:
                source += own
                row += [r] * n
                slot += range(start, start + n)
            first += n
        query = torch.arange(start, start + longest)[:, None]
        key = torch.arange(start + longest)[None]
        masks: dict[int | None, Tensor] = {}
        for window in {layer.window for layer in self.layers}:
            seen = key <= query
            if window is not None:
                seen = seen & (query - key < window)
            masks[window] = seen.repeat(self.groups, 1).to(self.device)
        unpadded, sources, rows_, slots = (
            torch.tensor(x, device=self.device) for x in (unpad, source, row, slot)
        )
        flat = torch.tensor([t for p in prompts for t in p], device=self.device)
        places = torch.tensor([start + i for n in lengths for i in range(n)], device=self.device)
        pad = pad.to(self.device)
        return _Prefill(flat, places, pad, unpadded, sources, rows_, slots, masks)

    def _biases(self, positions: Tensor) -> dict[int | None, Tensor]:
        """Window -> ``(rows, 1, capacity)``, 0 where a row's token sees the cache, else -inf."""
        key = torch.arange(self._capacity, device=self.device)[None]
        query = positions[:, None]
        biases: dict[int | None, Tensor] = {}
        for window in {layer.window for layer in self.layers}:
            hidden = key > query
            if window is not None and self._capacity > window:
                hidden |= key <= query - window
            bias = torch.zeros(hidden.shape, dtype=self.dtype, device=self.device)
            bias.masked_fill_(hidden, -torch.inf)
            biases[window] = bias[:, None].repeat_interleave(self.kv_heads, dim=0)
        return biases

    def _forward(self, tokens: Tensor, positions: Tensor, rows_of: _RowsOf) -> Tensor:
        """Hidden states of ``tokens``; the prompts only fill the cache."""
        n = len(tokens)
        here, at = torch.arange(n, device=self.device), positions
        biases = self._biases(positions)
        prefill = self._prefill(rows_of)
        if prefill:
            tokens = torch.cat((tokens, prefill.tokens))
            positions = torch.cat((positions, prefill.positions))
        ropes = {
            name: (cos[positions][:, None], sin[positions][:, None])
            for name, (cos, sin) in self._ropes.items()
        }
        x = functional.embedding(tokens, self._weights.embed)
        if self._weights.embed_scale != 1.0:
            x *= self._weights.embed_scale
        for i, layer in enumerate(self.layers):
            q, k, v = self._qkv(layer, layer.before_attention(x), ropes[layer.rope])
            self.keys[i][here, :, :, at] = k[:n]
            self.values[i][here, :, at] = v[:n]
            if prefill:
                # First, for a new row's last token sees the rest of its prompt in the cache.
                self._write_prompts(i, k[n:], v[n:], prefill)
            last = i + 1 == len(self.layers)
            if last:  # after its keys and values nobody asks for the prompts
                x = x[:n]
                if not n:
                    break
            seen = self._attend(i, q[:n], biases[layer.window])
            if prefill and not last:
                others = self._attend_prompts(i, layer.window, q[n:], k[n:], v[n:], prefill)
                seen = torch.cat((seen, others))
            y = layer.out(seen)
            x += layer.after_attention(y) if layer.after_attention else y
            y = layer.mlp(layer.before_mlp(x))
            x += layer.after_mlp(y) if layer.after_mlp else y
        return x

    def _qkv(
        self, layer: Layer, x: Tensor, rope: tuple[Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Queries ``(n, heads, head_dim)``, keys and values ``(n, kv_heads, head_dim)``."""
        heads = self.groups * self.kv_heads
        qkv = layer.qkv(x).view(len(x), heads + 2 * self.kv_heads, self.head_dim)
        q, k, v = qkv.split((heads, self.kv_heads, self.kv_heads), dim=1)
        if layer.q_norm and layer.k_norm:
            q, k = layer.q_norm(q), layer.k_norm(k)
        return _rotate(q, rope), _rotate(k, rope), v

    def _attend(self, i: int, q: Tensor, bias: Tensor) -> Tensor:
        """Attention of one token a row over its cache."""
        n = len(q)
        q = q.reshape(n * self.kv_heads, self.groups, self.head_dim)
        keys = self.keys[i, :n].reshape(n * self.kv_heads, self.head_dim, self._capacity)
        values = self.values[i, :n].reshape(n * self.kv_heads, self._capacity, self.head_dim)
        scores = torch.bmm(q, keys).mul_(self._weights.scale).add_(bias)
        return torch.bmm(torch.softmax(scores, dim=-1), values).view(n, self._width)

    def _write_prompts(self, i: int, k: Tensor, v: Tensor, prefill: _Prefill) -> None:
        self.keys[i][prefill.row, :, :, prefill.slot] = k[prefill.source]
        self.values[i][prefill.row, :, prefill.slot] = v[prefill.source]

    def _attend_prompts(
        self, i: int, window: int | None, q: Tensor, k: Tensor, v: Tensor, prefill: _Prefill
    ) -> Tensor:
        """Attention within each prompt and over the prefix."""
        n_prompts, longest = prefill.pad.shape
        shape = (n_prompts, self.kv_heads, self.groups * longest, self.head_dim)
        # The query heads of one key head stand one after another, as if they were more tokens.
        q = q[prefill.pad].view(n_prompts, longest, self.kv_heads, self.groups, self.head_dim)
        q = q.permute(0, 2, 3, 1, 4).reshape(shape)
        k = k[prefill.pad].transpose(1, 2)
        v = v[prefill.pad].transpose(1, 2)
        if p := self._prefix:
            before = self.keys[i, :1, :, :, :p].transpose(2, 3).expand(n_prompts, -1, -1, -1)
            k = torch.cat((before, k), dim=2)
            v = torch.cat((self.values[i, :1, :, :p].expand(n_prompts, -1, -1, -1), v), dim=2)
        seen = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=prefill.masks[window], scale=self._weights.scale
        )
        seen = seen.view(n_prompts, self.kv_heads, self.groups, longest, self.head_dim)
        seen = seen.permute(0, 3, 1, 2, 4).reshape(n_prompts * longest, -1)
        return seen[prefill.unpad]


def _chunks(rows_of: _RowsOf) -> list[_RowsOf]:
    """Prompts in portions of about ``_CHUNK`` tokens, at least one portion."""
    chunks: list[_RowsOf] = [{}]
    n = 0
    for prompt, rows in rows_of.items():
        if n >= _CHUNK:
            chunks.append({})
            n = 0
        chunks[-1][prompt] = rows
        n += len(prompt)
    return chunks


def _rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rope
    first, second = x.chunk(2, dim=-1)
    return torch.addcmul(x * cos, torch.cat((second, first), dim=-1), sin)
