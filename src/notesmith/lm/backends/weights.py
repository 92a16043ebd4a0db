"""The weights of a transformers causal model, as ``decoder`` uses them.

Only what a forward pass needs, in its type, with projections of one input side by side.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from notesmith.lm.backends.products import GatedMlp, Maker, Norm, Projection, can_pack

ARCHITECTURES = ("gemma3_text", "llama", "mistral", "qwen3")
# Rotary embeddings of these types do not change with the length of the text.
_FIXED_ROPE = ("default", "linear", "llama3", "yarn")
# Larger models keep their own matrices, so that sampling does not hold them twice.
_SMALL = 2_000_000_000


class UnsupportedModelError(ValueError):
    """The model is none that this forward pass reproduces; use the model's own."""


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
    mlp: GatedMlp
    after_mlp: Norm | None
    rope: str
    window: int | None


@dataclass(frozen=True, slots=True)
class Weights:
    """A whole model; ``scale`` multiplies attention scores."""

    embed: Tensor
    embed_scale: float
    layers: tuple[Layer, ...]
    norm: Norm
    head: Projection
    heads: int
    kv_heads: int
    head_dim: int
    scale: float


def read_weights(model: Any, dtype: torch.dtype | None = None) -> Weights:
    """Take the weights of ``model``, in ``dtype`` if given; larger models keep their own tensors.

    Raises:
        UnsupportedModelError: another architecture, or an option that is not reproduced.
    """
    _check(model)
    config, body = model.config, model.model
    embed, attention = body.embed_tokens.weight.detach(), body.layers[0].self_attn
    dtype = dtype or embed.dtype
    gemma = config.model_type == "gemma3_text"
    n_parameters = sum(p.numel() for p in model.parameters())
    small = n_parameters < _SMALL
    maker = Maker(dtype, pack=small and can_pack(dtype, embed.device), fuse=small)
    reader = _Reader(maker, plus_one=gemma)
    return Weights(
        embed=embed.to(dtype),
        embed_scale=float(body.embed_tokens.embed_scale.to(dtype)) if gemma else 1.0,
        layers=tuple(reader.layer(layer, config, i) for i, layer in enumerate(body.layers)),
        norm=reader.norm(body.norm),
        head=maker.projection(model.lm_head),
        heads=int(config.num_attention_heads),
        kv_heads=int(config.num_key_value_heads),
        head_dim=int(attention.head_dim),
        scale=float(attention.scaling),
    )


@dataclass(frozen=True, slots=True)
class _Reader:
    """Takes weights out of transformers modules."""

    make: Maker
    plus_one: bool

    def norm(self, module: Any) -> Norm:
        weight = module.weight.detach().float()
        eps = getattr(module, "eps", None) or module.variance_epsilon
        return Norm(weight + 1.0 if self.plus_one else weight, float(eps))

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
            qkv=self.make.projection(attention.q_proj, attention.k_proj, attention.v_proj),
            q_norm=None if q_norm is None else self.norm(q_norm),
            k_norm=None if k_norm is None else self.norm(k_norm),
            out=self.make.projection(attention.o_proj),
            after_attention=self.norm(layer.post_attention_layernorm) if gemma else None,
            before_mlp=self.norm(
                layer.pre_feedforward_layernorm if gemma else layer.post_attention_layernorm
            ),
            mlp=GatedMlp(
                self.make.projection(mlp.gate_proj, mlp.up_proj, apart=True),
                self.make.projection(mlp.down_proj),
                mlp.act_fn,
                getattr(config, "hidden_activation" if gemma else "hidden_act"),
            ),
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
