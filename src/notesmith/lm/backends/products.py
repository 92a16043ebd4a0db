"""The arithmetic of a decoder layer between attention: norms, projections, the gated MLP.

On a CPU in bfloat16 the matrices are laid out once as oneDNN wants them, which it would otherwise
do at every product, and activation and gate become part of the product.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

# Rows that the layout of packed matrices is made for; any number works.
_ROWS = 128
# oneDNN's names of activations: operation, scalars, algorithm.
_FUSED: dict[str, tuple[str, list[float], str]] = {
    "gelu_pytorch_tanh": ("gelu", [], "tanh"),
    "silu": ("swish", [], ""),
}


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
    packed: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        pairs = zip(self.weights, self.biases, strict=True)
        if self.packed:
            parts = [torch.ops.mkldnn._linear_pointwise(x, w, b, "none", [], "") for w, b in pairs]
        else:
            parts = [functional.linear(x, w, b) for w, b in pairs]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=-1)


@dataclass(frozen=True, slots=True)
class GatedMlp:
    """``down(activation(gate x) * up x)``; both matrices of ``gate_up`` are one if not packed."""

    gate_up: Projection
    down: Projection
    activation: Callable[[Tensor], Tensor]
    name: str

    def __call__(self, x: Tensor) -> Tensor:
        if self.gate_up.packed and self.name in _FUSED:
            product = torch.ops.mkldnn._linear_pointwise
            (gate, up), (gate_bias, up_bias) = self.gate_up.weights, self.gate_up.biases
            y = product(x, gate, gate_bias, *_FUSED[self.name])
            return self.down(product.binary(x, y, up, up_bias, "mul"))
        gate, up = self.gate_up(x).chunk(2, dim=-1)
        return self.down(self.activation(gate).mul_(up))


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes projections of modules' matrices, in ``dtype``, packed or fused where that is right."""

    dtype: torch.dtype
    pack: bool
    fuse: bool

    def projection(self, *modules: Any, apart: bool = False) -> Projection:
        """Of linear modules; ``apart`` keeps packed matrices from becoming one."""
        weights = [m.weight.detach().to(self.dtype) for m in modules]
        biases = [None if m.bias is None else m.bias.detach().to(self.dtype) for m in modules]
        alike = len({b is None for b in biases}) == 1
        if self.fuse and alike and not (apart and self.pack):
            weights = [torch.cat(weights)] if len(weights) > 1 else weights
            biases = [
                None if biases[0] is None else torch.cat([b for b in biases if b is not None])
            ]
        if self.pack:
            weights = [torch.ops.mkldnn._reorder_linear_weight(w, _ROWS) for w in weights]
        return Projection(tuple(weights), tuple(biases), self.pack)


def can_pack(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether products with packed matrices work here, and give what plain ones do."""
    if dtype != torch.bfloat16 or device.type != "cpu":
        return False
    x, w = torch.eye(8, 16, dtype=dtype), torch.eye(4, 16, dtype=dtype)
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(w, _ROWS)
        product = torch.ops.mkldnn._linear_pointwise
        y = product(x, packed, None, "none", [], "")
        z = product.binary(x, y, packed, None, "mul")
    except (AttributeError, RuntimeError, TypeError):  # another version, or another build
        return False
    return torch.equal(y, x @ w.T) and torch.equal(z, y * y)
