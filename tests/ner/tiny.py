"""A tiny random BERT with an in-memory WordPiece vocabulary, for tests that need an encoder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

_SUFFIXES = "##s ##ed ##ing ##ia ##itis ##oma ##osis ##emia ##al ##in ##ol".split()
_WORDS = (
    "the a of in and with for on was is no patient pain fever cough asthma fracture aspirin mg "
    "daily denies reports chest left right mild severe acute chronic history after before given"
).split()


def tiny_encoder(folder: Path, *, words: Iterable[str] = (), seed: int = 0, **config: int) -> Path:
    """Write a two-layer BERT of width 32 to ``folder``; every ASCII text can be tokenized."""
    import torch
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    marks = [chr(c) for c in range(33, 127) if not chr(c).isalnum()]
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *marks]
    pieces += [f"##{c}" for c in letters] + _SUFFIXES + _WORDS + [w.lower() for w in words]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    backend = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]", max_input_chars_per_word=200))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", vocab["[CLS]"]), ("[SEP]", vocab["[SEP]"])],
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    shape = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": 128,
    }
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = BertModel(BertConfig(vocab_size=len(vocab), pad_token_id=0, **(shape | config)))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return Path(folder)
