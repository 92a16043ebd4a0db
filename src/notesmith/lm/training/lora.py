"""LoRA layers: put into a model, merged into the weights that are saved, taken out again."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedModel

from notesmith.models.load import require


def add_lora(model: PreTrainedModel, rank: int, *, seed: int) -> Any:
    """Put layers of ``rank`` on all linear layers of ``model``; they alone are trained.

    Raises:
        MissingExtraError: PEFT is absent.
    """
    peft = require("peft", "models")
    config = peft.LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        # PEFT asks transformers by what release 5 calls an old name.
        warnings.simplefilter("ignore", FutureWarning)
        return peft.get_peft_model(model, config)


def remove_lora(model: PreTrainedModel) -> None:
    """Take out the layers that ``add_lora`` put into ``model``, unmerged."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(model.named_modules()):
        if isinstance(module, LoraLayer):
            model.set_submodule(name, module.get_base_layer())
    model.requires_grad_(True)
    model.eval()


def plain_model(model: Any) -> PreTrainedModel:
    """The transformers model inside PEFT's wrapper; its layers stay adapted."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def folder_weights(model: Any, dtype: torch.dtype) -> dict[str, Tensor]:
    """Copy of the weights on the CPU as they would be saved, LoRA's merged, in ``dtype``."""
    base = plain_model(model)
    merged: dict[str, Tensor] = {}
    if base is not model:
        from peft.tuners.lora import LoraLayer

        merged = {
            f"{name}.weight": module.get_base_layer().weight.float()
            + module.get_delta_weight(module.active_adapters[0]).float()
            for name, module in base.named_modules()
            if isinstance(module, LoraLayer)
        }
    tied = set(getattr(base, "_tied_weights_keys", None) or ())
    tie = base.config.get_text_config().tie_word_embeddings
    weights: dict[str, Tensor] = {}
    for name, value in base.state_dict().items():
        if ".lora_" in name or (tie and name in tied):
            continue
        name = name.replace(".base_layer.", ".")
        value = merged.get(name, value).detach()
        kind = dtype if value.is_floating_point() else value.dtype
        weights[name] = value.to("cpu", kind, copy=True)
    return weights
