"""Names for good local language models, with size, licence and the memory each needs."""

from __future__ import annotations

from dataclasses import dataclass

GEMMA_TERMS = "https://ai.google.dev/gemma/terms"
MEDGEMMA_TERMS = "https://developers.google.com/health-ai-developer-foundations/terms"
HAI_DEF = "health-ai-developer-foundations"
LLAMA_TERMS = "https://github.com/meta-llama/llama-models/blob/main/models/llama3_2/LICENSE"
OFFLINE_DEFAULT = "smollm2-135m-offline"
OFFLINE_GEMMA = "gemma3-270m-offline"

_GIB = 2**30
_FROM_GGUF = "4-bit weights from the Python package index, dequantised"


@dataclass(frozen=True, slots=True)
class Preset:
    """A model by a short name.

    ``hub_id`` is None where the weights come from a Python package and no network is used; it may
    end in ``@COMMIT``, which pins one.
    ``n_parameters`` counts all, in millions. ``terms`` links conditions that go with the weights
    and with what they write; None for plain open licences. ``gated``: the hub asks for an account
    that accepted the terms. ``words`` tell a report what the weights are, if the name does not.
    ``learning_rate`` of full fine-tuning suits it better than the general default, if given.
    """

    name: str
    hub_id: str | None
    n_parameters: int
    licence: str
    terms: str | None = None
    gated: bool = False
    words: str = ""
    learning_rate: float | None = None

    @property
    def gib_to_sample(self) -> float:
        """GiB of memory for bfloat16 weights, without the key-value cache."""
        return self.n_parameters * 1e6 * 2 / _GIB

    @property
    def gib_to_train(self) -> float:
        """GiB for full fine-tuning: float32 weights, gradients and two moments, no activations."""
        return self.n_parameters * 1e6 * 16 / _GIB

    @property
    def gib_to_train_lora(self) -> float:
        """GiB for LoRA: bfloat16 weights and about 1% of them trained in float32."""
        return self.n_parameters * 1e6 * (2 + 0.01 * 16) / _GIB


PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (
        Preset(
            *(OFFLINE_DEFAULT, None, 135, "apache-2.0"),
            words=f"SmolLM2 135M (tuned to instructions; {_FROM_GGUF})",
            learning_rate=2e-4,
        ),
        Preset(
            *(OFFLINE_GEMMA, None, 268, "gemma", GEMMA_TERMS),
            words=f"Gemma 3 270M (base; {_FROM_GGUF})",
        ),
        Preset("gemma3-270m", "google/gemma-3-270m", 268, "gemma", GEMMA_TERMS, True),
        Preset("gemma3-1b", "google/gemma-3-1b-pt", 1000, "gemma", GEMMA_TERMS, True),
        Preset("gemma3-4b", "google/gemma-3-4b-pt", 4300, "gemma", GEMMA_TERMS, True),
        Preset("qwen3-0.6b", "Qwen/Qwen3-0.6B-Base", 596, "apache-2.0"),
        Preset("qwen3-1.7b", "Qwen/Qwen3-1.7B-Base", 1720, "apache-2.0"),
        Preset("qwen3-4b", "Qwen/Qwen3-4B-Base", 4020, "apache-2.0"),
        Preset("qwen3-8b", "Qwen/Qwen3-8B-Base", 8190, "apache-2.0"),
        Preset("llama3.2-1b", "meta-llama/Llama-3.2-1B", 1240, "llama3.2", LLAMA_TERMS, True),
        Preset("llama3.2-3b", "meta-llama/Llama-3.2-3B", 3210, "llama3.2", LLAMA_TERMS, True),
        Preset("mistral-7b", "mistralai/Mistral-7B-v0.3", 7250, "apache-2.0"),
        Preset("medgemma-4b", "google/medgemma-4b-pt", 4300, HAI_DEF, MEDGEMMA_TERMS, True),
        Preset("medgemma-27b", "google/medgemma-27b-text-it", 27000, HAI_DEF, MEDGEMMA_TERMS, True),
    )
}

HUB_NAMES: dict[str, str] = {p.name: p.hub_id for p in PRESETS.values() if p.hub_id}
"""The hub's name of each preset that is fetched."""

OFFLINE: tuple[str, ...] = tuple(p.name for p in PRESETS.values() if p.hub_id is None)
"""The presets whose weights come as a Python package."""
