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

ARCHITECTURES = ("gemma3_text", "llama", "mistral", "qwen3")
# Rotary embeddings of these types do not change with the length of the text.
_FIXED_ROPE = ("default", "linear", "llama3", "yarn")
# Cache lengths are multiples of this: tight rows are read faster, and growing them copies.
_GRAIN = 32
# Larger models keep their projections apart, so that sampling does not hold them twice.
_FUSE_BELOW = 2_000_000_000


class UnsupportedModelError(ValueError):
    """The model is none that this forward pass reproduces; use the model's own."""


@dataclass(frozen=True, slots=True)
class Norm:
    """RMS norm over the last axis: ``x / rms(x) * weight``, computed in float32."""

    weight: Tensor
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(x, dim=-1, keepdim=True, dtype=torch.float32)
        scale = torch.rsqrt(length.square_().div_(x.shape[-1]).add_(self.eps))
        return (x * scale).mul_(self.weight).to(x.dtype)


@dataclass(frozen=True, slots=True)
class Projection:
    """Linear maps of one input whose outputs stand side by side."""

    weights: tuple[Tensor, ...]
    biases: tuple[Tensor | None, ...]

    def __call__(self, x: Tensor) -> Tensor:
        parts = [functional.linear(x, w, b) for w, b in zip(self.weights, self.biases, strict=True)]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


@dataclass(frozen=True, slots=True)
class Layer:
    """Weights of one decoder layer; ``after_*`` norms are Gemma's."""

    before_attention: Norm
    qkv: Projection
    q_norm: Norm | None
    k_norm: Norm | None
    out: Projection
    after_attention: Norm | None
    before_mlp: Norm
    gate_up: Projection
    down: Projection
    after_mlp: Norm | None
    rope: str
    window: int | None


@dataclass(frozen=True, slots=True)
class _Prefill:
    """Prompt tokens of new rows: ``n`` tokens in a row, padded by index to ``(row, length)``."""

    n: int
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
        config = model.config
        _check(model)
        body = model.model
        self.dtype = dtype or body.embed_tokens.weight.dtype
        self.device = body.embed_tokens.weight.device
        attention = body.layers[0].self_attn
        self.head_dim = int(attention.head_dim)
        self.kv_heads = int(config.num_key_value_heads)
        self.groups = int(config.num_attention_heads) // self.kv_heads
        self.scale = float(attention.scaling)
        self._width = self.groups * self.kv_heads * self.head_dim
        gemma = config.model_type == "gemma3_text"
        n_parameters = sum(p.numel() for p in model.parameters())
        reader = _Reader(self.dtype, plus_one=gemma, fuse=n_parameters < _FUSE_BELOW)
        self.embed = body.embed_tokens.weight.detach().to(self.dtype)
        self.embed_scale = float(body.embed_tokens.embed_scale.to(self.dtype)) if gemma else 1.0
        self.layers = [reader.layer(layer, config, i) for i, layer in enumerate(body.layers)]
        self.norm = reader.norm(body.norm)
        self.head = model.lm_head.weight.detach().to(self.dtype)
        self.activation = body.layers[0].mlp.act_fn
        self._rotary = body.rotary_emb
        self._ropes: dict[str, tuple[Tensor, Tensor]] = {}
        self._capacity = 0
        self.keys = torch.empty(0)
        self.values = torch.empty(0)
        self._prefix = 0

    @property
    def vocabulary(self) -> int:
        """Number of logits."""
        return int(self.head.shape[0])

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
            self._forward(none, none, [list(prefix)], [[0]])
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
        hidden = self._forward(
            tokens, positions, [list(p) for p in rows_of], list(rows_of.values())
        )
        return functional.linear(self.norm(hidden), self.head)

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
        if wanted == self._capacity:
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

    def _prefill(self, prompts: list[list[int]], rows: list[list[int]]) -> _Prefill | None:
        if not prompts:
            return None
        lengths = [len(p) for p in prompts]
        longest, start = max(lengths), self._prefix
        pad = torch.zeros(len(prompts), longest, dtype=torch.long)
        unpad: list[int] = []
        source: list[int] = []
        row: list[int] = []
        slot: list[int] = []
        first = 0
        for i, n in enumerate(lengths):
            flat = range(first, first + n)
            pad[i, :n] = torch.arange(first, first + n)
            unpad += range(i * longest, i * longest + n)
            for r in rows[i]:
                source += flat
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
        return _Prefill(first, pad.to(self.device), unpadded, sources, rows_, slots, masks)

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

    def _forward(
        self, tokens: Tensor, positions: Tensor, prompts: list[list[int]], rows: list[list[int]]
    ) -> Tensor:
        """Hidden states of ``tokens``; the prompts only fill the cache."""
        n = len(tokens)
        prefill = self._prefill(prompts, rows)
        if prefill:
            flat = torch.tensor([t for p in prompts for t in p], device=self.device)
            places = [self._prefix + i for p in prompts for i in range(len(p))]
            tokens = torch.cat((tokens, flat))
            positions = torch.cat((positions, torch.tensor(places, device=self.device)))
        biases = self._biases(positions[:n])
        ropes = {
            name: (cos[positions][:, None], sin[positions][:, None])
            for name, (cos, sin) in self._ropes.items()
        }
        here = torch.arange(n, device=self.device)
        x = functional.embedding(tokens, self.embed)
        if self.embed_scale != 1.0:
            x *= self.embed_scale
        for i, layer in enumerate(self.layers):
            q, k, v = self._qkv(layer, layer.before_attention(x), ropes[layer.rope])
            self.keys[i][here, :, :, positions[:n]] = k[:n]
            self.values[i][here, :, positions[:n]] = v[:n]
            if prefill:
                # First, for a new row's last token sees the rest of its prompt in the cache.
                others = self._attend_prompts(i, layer.window, q[n:], k[n:], v[n:], prefill)
            seen = self._attend(i, q[:n], biases[layer.window])
            if prefill:
                seen = torch.cat((seen, others))
            y = layer.out(seen)
            x += layer.after_attention(y) if layer.after_attention else y
            gate, up = layer.gate_up(layer.before_mlp(x)).chunk(2, dim=-1)
            y = layer.down(self.activation(gate).mul_(up))
            x += layer.after_mlp(y) if layer.after_mlp else y
        return x[:n]

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
        scores = torch.bmm(q, keys).mul_(self.scale).add_(bias)
        return torch.bmm(torch.softmax(scores, dim=-1), values).view(n, self._width)

    def _attend_prompts(
        self, i: int, window: int | None, q: Tensor, k: Tensor, v: Tensor, prefill: _Prefill
    ) -> Tensor:
        """Write the prompts' keys and values, and attend within each prompt and the prefix."""
        source, row, slot = prefill.source, prefill.row, prefill.slot
        self.keys[i][row, :, :, slot] = k[source]
        self.values[i][row, :, slot] = v[source]
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
            q, k, v, attn_mask=prefill.masks[window], scale=self.scale
        )
        seen = seen.view(n_prompts, self.kv_heads, self.groups, longest, self.head_dim)
        seen = seen.permute(0, 3, 1, 2, 4).reshape(n_prompts * longest, -1)
        return seen[prefill.unpad]


def _rotate(x: Tensor, rope: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rope
    first, second = x.chunk(2, dim=-1)
    return torch.addcmul(x * cos, torch.cat((second, first), dim=-1), sin)


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes weights out of transformers modules."""

    dtype: torch.dtype
    plus_one: bool
    fuse: bool

    def norm(self, module: Any) -> Norm:
        weight = module.weight.detach().float()
        eps = getattr(module, "eps", None) or module.variance_epsilon
        return Norm(weight + 1.0 if self.plus_one else weight, float(eps))

    def projection(self, *modules: Any) -> Projection:
        weights = [m.weight.detach().to(self.dtype) for m in modules]
        biases = [None if m.bias is None else m.bias.detach().to(self.dtype) for m in modules]
        if not self.fuse:
            return Projection(tuple(weights), tuple(biases))
        given = [b for b in biases if b is not None]
        if given and len(given) < len(biases):
            raise UnsupportedModelError("only some projections of a layer have a bias")
        return Projection((torch.cat(weights),), (torch.cat(given) if given else None,))

    def layer(self, layer: Any, config: Any, index: int) -> Layer:
        attention, mlp = layer.self_attn, layer.mlp
        gemma = self.plus_one
        kinds = getattr(config, "layer_types", None)
        window = getattr(config, "sliding_window", None)
        if kinds is not None and kinds[index] != "sliding_attention":
            window = None
        if config.model_type == "llama":
            window = None
        q_norm = getattr(attention, "q_norm", None)
        k_norm = getattr(attention, "k_norm", None)
        return Layer(
            before_attention=self.norm(layer.input_layernorm),
            qkv=self.projection(attention.q_proj, attention.k_proj, attention.v_proj),
            q_norm=None if q_norm is None else self.norm(q_norm),
            k_norm=None if k_norm is None else self.norm(k_norm),
            out=self.projection(attention.o_proj),
            after_attention=self.norm(layer.post_attention_layernorm) if gemma else None,
            before_mlp=self.norm(
                layer.pre_feedforward_layernorm if gemma else layer.post_attention_layernorm
            ),
            gate_up=self.projection(mlp.gate_proj, mlp.up_proj),
            down=self.projection(mlp.down_proj),
            after_mlp=self.norm(layer.post_feedforward_layernorm) if gemma else None,
            rope=kinds[index] if gemma and kinds else "",
            window=window,
        )


def _check(model: Any) -> None:
    config = model.config
    if config.model_type not in ARCHITECTURES or hasattr(model, "peft_config"):
        raise UnsupportedModelError(f"no fast path for {type(model).__name__}")
    for option in ("attn_logit_softcapping", "final_logit_softcapping"):
        if getattr(config, option, None) is not None:
            raise UnsupportedModelError(f"no fast path with {option}")
    if getattr(config, "use_bidirectional_attention", None):
        raise UnsupportedModelError("no fast path with bidirectional attention")
    if getattr(model.lm_head, "bias", None) is not None:
        raise UnsupportedModelError("no fast path with a bias on the logits")
    ropes = getattr(config, "rope_parameters", None) or {}
    for rope in ropes.values() if config.model_type == "gemma3_text" else [ropes]:
        if rope.get("rope_type", "default") not in _FIXED_ROPE:
            raise UnsupportedModelError(f"no fast path with rope type {rope['rope_type']!r}")
        if rope.get("partial_rotary_factor", 1.0) != 1.0:
            raise UnsupportedModelError("no fast path with partial rotary embedding")
