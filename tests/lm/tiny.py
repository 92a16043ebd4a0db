"""Tiny random language models of the architectures that notesmith supports, built in memory.

``tiny_lm("llama")`` gives a ``LanguageModel`` at once; ``save_tiny("gemma3", folder)`` writes one.
Gemma's tokenizer is of SentencePiece kind (spaces as ``▁``, byte fallback), the others byte-level.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer
from transformers import (
    AutoModelForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    MistralConfig,
    PreTrainedTokenizerFast,
    Qwen3Config,
)

from notesmith.lm.load import LanguageModel, find_reserved

ARCHITECTURES = ("llama", "qwen3", "mistral", "gemma3")
TEXTS = (
    "The patient was admitted with chest pain and shortness of breath.",
    "No history of asthma, diabetes mellitus or colon cancer in the family.",
    "Started on aspirin 81 mg daily; blood pressure was stable overnight.",
    "CT of the chest showed a small pleural effusion without pneumonia.",
    "Follow up with the heart failure clinic in two weeks, sooner if worse.",
)
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|turn|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
_RESERVED = {
    "llama": "<|reserved_special_token_{}|>",
    "mistral": "[control_{}]",
    "gemma3": "<unused{}>",
}
_SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 16,
    "max_position_embeddings": 256,
}
_CONFIGS: dict[str, tuple[type, dict[str, Any]]] = {
    "llama": (LlamaConfig, {"tie_word_embeddings": False}),
    "qwen3": (Qwen3Config, {"tie_word_embeddings": True}),
    "mistral": (MistralConfig, {"tie_word_embeddings": False, "sliding_window": None}),
    "gemma3": (
        Gemma3TextConfig,
        {
            "tie_word_embeddings": True,
            "sliding_window": 32,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 16,
        },
    ),
}


def tiny_tokenizer(
    architecture: str = "llama", *, n_reserved: int = 8, chat: bool = False, vocab_size: int = 420
) -> PreTrainedTokenizerFast:
    """A tokenizer of the architecture's kind, trained on ``TEXTS``."""
    specials = ["<pad>", "<eos>", "<bos>", "<unk>"]
    pattern = _RESERVED.get(architecture)
    specials += [pattern.format(i) for i in range(n_reserved)] if pattern else []
    specials += ["<|turn|>", "<|end|>"] if chat else []
    if architecture == "gemma3":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        )
        specials += [f"<0x{byte:02X}>" for byte in range(256)]
        alphabet = sorted(set("".join(TEXTS)) | {"▁", "\n"} - {" "})
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=specials,
        initial_alphabet=alphabet,
        show_progress=False,
        max_token_length=8,
    )
    tokenizer.train_from_iterator(TEXTS * 3, trainer)
    tokenizer = _plain_bytes(tokenizer)
    bos = tokenizer.token_to_id("<bos>")
    if architecture != "qwen3":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", bos)]
        )
    names = {"eos_token": "<eos>", "pad_token": "<pad>", "unk_token": "<unk>"}
    if architecture != "qwen3":
        names["bos_token"] = "<bos>"
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE if chat else None,
        **names,
    )


def _plain_bytes(tokenizer: Tokenizer) -> Tokenizer:
    """Byte tokens belong to the vocabulary but are no added tokens, as in Gemma."""
    import json

    parts = json.loads(tokenizer.to_str())
    parts["added_tokens"] = [t for t in parts["added_tokens"] if not t["content"].startswith("<0x")]
    return Tokenizer.from_str(json.dumps(parts))


def tiny_lm(
    architecture: str = "llama",
    *,
    n_reserved: int = 8,
    chat: bool = False,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    vocab_size: int = 420,
) -> LanguageModel:
    """A random model of 30 thousand parameters and its tokenizer.

    ``chat`` gives the tokenizer a chat template; the model is still used plainly until it is
    fine-tuned.
    """
    tokenizer = tiny_tokenizer(
        architecture, n_reserved=n_reserved, chat=chat, vocab_size=vocab_size
    )
    kind, more = _CONFIGS[architecture]
    config = kind(
        vocab_size=len(tokenizer),
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **_SIZES,
        **more,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=dtype).eval()
    return LanguageModel(
        model,
        tokenizer,
        name=f"tiny-{architecture}",
        licence="none",
        terms=None,
        reserved=find_reserved(tokenizer, len(tokenizer)),
        fingerprint=f"tiny-{architecture}-{seed}",
    )


def save_tiny(architecture: str, folder: Path, **options: Any) -> Path:
    """Write a tiny model's folder, as ``load_lm`` reads it."""
    tiny_lm(architecture, **options).save(folder)
    return folder
