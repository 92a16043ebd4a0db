"""Cut a language model's vocabulary to the tokens of one domain, and prove that nothing broke.

A 268M model of which 168M parameters are embeddings of 262,144 tokens trains and samples on a CPU
at the price of its embeddings. Rows of tokens that biomedical English does not use are left out;
what remains gives the same tokens (bar rare ones, which fall apart into smaller kept ones) and the
same logits. The kept ids are chosen from a public corpus by ``benchmarks/build_vocabulary.py`` and
ship with the package; nothing of a user's corpus enters, because rare strings there would leak.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import re
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from notesmith.errors import ModelError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

log = logging.getLogger(__name__)

# Reserved tokens kept for marks: enough for MACCROBAT's 41 labels, a close mark and room.
N_RESERVED = 64
# More tokens a word than this factor means another language: trimming is off.
MAX_GROWTH = 1.1
MAX_CHECKED = 300
RESERVED = re.compile(
    r"<unused(\d+)>|<\|reserved_special_token_(\d+)\|>|\[control_(\d+)\]|<SPECIAL_(\d+)>"
)
# Marks of source code and its history, which tokenizers of the StarCoder family have.
OF_CODE = re.compile(
    r"<(repo_?name|file_sep|filename|gh_stars|issue_(start|comment|closed)|empty_output"
    r"|jupyter_(start|text|code|output|script))>"
)
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
# As written by SentencePiece, or by a byte-level alphabet (space, newline, return, tab).
_SPACE = re.compile(r"[▁\s]+|[ĠĊčĉ]{1,32}")


@dataclass(frozen=True, slots=True)
class KeptTokens:
    """Ids of a full vocabulary that stay, ascending; a token's new id is its place here.

    ``fingerprint`` is the hash of the first ``n_tokens`` tokens of the vocabulary that is meant.
    """

    ids: tuple[int, ...]
    n_tokens: int
    fingerprint: str

    def to_bytes(self) -> bytes:
        """Serialize: a JSON line, then the compressed differences between neighbouring ids."""
        head = {"fingerprint": self.fingerprint, "n_tokens": self.n_tokens}
        steps = np.diff(np.array(self.ids, dtype=np.uint32), prepend=np.uint32(0))
        return json.dumps(head).encode() + b"\n" + zlib.compress(steps.astype("<u4").tobytes(), 9)

    @classmethod
    def from_bytes(cls, data: bytes) -> KeptTokens:
        """Read what ``to_bytes`` wrote."""
        head, _, body = data.partition(b"\n")
        fields = json.loads(head)
        steps = np.frombuffer(zlib.decompress(body), dtype="<u4")
        ids = tuple(int(i) for i in np.cumsum(steps, dtype=np.int64))
        return cls(ids, int(fields["n_tokens"]), str(fields["fingerprint"]))

    def fits(self, tokenizer_json: Mapping[str, Any]) -> bool:
        """Whether this list was made for that tokenizer's vocabulary."""
        return fingerprint_vocabulary(tokenizer_json, self.n_tokens) == self.fingerprint


def is_spare(token: str) -> bool:
    """Whether a special token means nothing in clinical text, so that it can serve as a mark."""
    return RESERVED.fullmatch(token) is not None or OF_CODE.fullmatch(token) is not None


def fingerprint_vocabulary(tokenizer_json: Mapping[str, Any], n_tokens: int | None = None) -> str:
    """SHA-256 of the first ``n_tokens`` tokens of a vocabulary, in the order of their ids.

    A prefix, because builds of one tokenizer differ in tokens added at its end.
    """
    vocabulary = full_vocabulary(tokenizer_json)
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)[:n_tokens]
    return hashlib.sha256("\0".join(tokens).encode("utf-8", "surrogatepass")).hexdigest()


def full_vocabulary(tokenizer_json: Mapping[str, Any]) -> dict[str, int]:
    """Token to id, added tokens included.

    Raises:
        ModelError: the tokenizer is not byte-pair encoding.
    """
    model = tokenizer_json["model"]
    if model.get("type") != "BPE":
        raise ModelError(f"cannot trim a {model.get('type')} tokenizer; set trim = false")
    added = {token["content"]: int(token["id"]) for token in tokenizer_json["added_tokens"]}
    return {**model["vocab"], **added}


def shipped_tokens(tokenizer_json: Mapping[str, Any]) -> KeptTokens | None:
    """The packaged list for this tokenizer, or None if there is none."""
    if tokenizer_json["model"].get("type") != "BPE":
        return None
    for entry in resources.files("notesmith.lm").joinpath("data").iterdir():
        if entry.name.endswith(".kept"):
            kept = KeptTokens.from_bytes(entry.read_bytes())
            if kept.fits(tokenizer_json):
                return kept
    return None


def choose_tokens(
    tokenizer_json: Mapping[str, Any], counts: Mapping[int, int], *, min_count: int
) -> KeptTokens:
    """Keep what a corpus uses and what those tokens are merged from.

    Args:
        tokenizer_json: the parsed ``tokenizer.json`` of a BPE tokenizer.
        counts: how often each id occurs in a public corpus.
        min_count: tokens seen this often stay.
    """
    model = tokenizer_json["model"]
    vocabulary = full_vocabulary(tokenizer_json)
    ranks = {tuple(pair): rank for rank, pair in enumerate(_pairs(model["merges"]))}
    keep: set[str] = set()
    for token, token_id in vocabulary.items():
        if _always_kept(token):
            keep.add(token)
        elif counts.get(token_id, 0) >= min_count:
            keep |= {token, *merge_path(token, ranks)}
    for added in tokenizer_json["added_tokens"]:
        if added["special"] and RESERVED.fullmatch(added["content"]) is None:
            keep.add(added["content"])
    ids = sorted(vocabulary[token] for token in keep if token in vocabulary)
    n_tokens = max(model["vocab"].values()) + 1
    return KeptTokens(tuple(ids), n_tokens, fingerprint_vocabulary(tokenizer_json, n_tokens))


def _always_kept(token: str) -> bool:
    """Bytes, single Latin and ASCII characters, white space, and the first reserved tokens.

    White space, because corpora often come without it and clinical notes are laid out with it.
    """
    if match := RESERVED.fullmatch(token):
        return int(next(group for group in match.groups() if group)) < N_RESERVED
    if _BYTE.fullmatch(token) or _SPACE.fullmatch(token):
        return True
    if len(token) == 1:
        # A byte-level alphabet writes all 256 bytes as characters below U+0144.
        return ord(token) < 0x144 or unicodedata.name(token, "").startswith("LATIN")
    return len(token) == 2 and token[0] in "▁Ġ" and token[1].isascii()


def _pairs(merges: Iterable[Any]) -> Iterable[tuple[str, str]]:
    for merge in merges:
        first, second = merge.split(" ") if isinstance(merge, str) else merge
        yield first, second


def merge_path(token: str, ranks: Mapping[tuple[str, ...], int]) -> set[str]:
    """Every piece that byte-pair encoding makes on its way to ``token``, its characters included.

    Merges of best rank come first, as in encoding; inside a token the neighbours outside play no
    part, so text that only uses kept tokens is encoded as before.
    """
    pieces = list(token)
    seen = set(pieces)
    while len(pieces) > 1:
        rank, at = min((ranks.get(pair, len(ranks)), i) for i, pair in enumerate(pairwise(pieces)))
        if rank == len(ranks):
            break
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
        seen.add(pieces[at])
    return seen


def trim_tokenizer_json(tokenizer_json: Mapping[str, Any], kept: KeptTokens) -> dict[str, Any]:
    """Rewrite a ``tokenizer.json`` with the kept tokens, new ids and the merges among them."""
    new_id = {old: new for new, old in enumerate(kept.ids)}
    model = tokenizer_json["model"]
    vocab = {token: new_id[old] for token, old in model["vocab"].items() if old in new_id}
    merges = [
        [a, b] for a, b in _pairs(model["merges"]) if a in vocab and b in vocab and a + b in vocab
    ]
    added = [
        {**token, "id": new_id[token["id"]]}
        for token in tokenizer_json["added_tokens"]
        if token["id"] in new_id
    ]
    post_processor = copy.deepcopy(tokenizer_json.get("post_processor"))
    _remap_template(post_processor, new_id)
    return {
        **tokenizer_json,
        "model": {**model, "vocab": vocab, "merges": merges},
        "added_tokens": added,
        "post_processor": post_processor,
    }


def _remap_template(part: Any, new_id: Mapping[int, int]) -> None:
    """Renumber the ids in a post-processor (``TemplateProcessing`` or a sequence with one)."""
    if isinstance(part, list):
        for item in part:
            _remap_template(item, new_id)
    elif isinstance(part, dict):
        if isinstance(part.get("ids"), list):
            part["ids"] = [new_id[old] for old in part["ids"]]
        for item in part.values():
            _remap_template(item, new_id)


def trim_model(model: PreTrainedModel, kept: KeptTokens) -> None:
    """Slice the embedding (and an untied head) of ``model`` in place and renumber its config.

    Raises:
        ModelError: a kept token has no row.
    """
    import torch

    embedding = model.get_input_embeddings()
    n_old = embedding.weight.shape[0]
    if kept.ids[-1] >= n_old:
        raise ModelError("the tokenizer has tokens without an embedding row")
    index = torch.tensor(kept.ids, device=embedding.weight.device)
    for layer in (embedding, model.get_output_embeddings()):
        if layer.weight.shape[0] == n_old:
            layer.weight = torch.nn.Parameter(layer.weight.detach()[index])
            size = "num_embeddings" if hasattr(layer, "num_embeddings") else "out_features"
            setattr(layer, size, len(kept.ids))
    model.config.get_text_config().vocab_size = len(kept.ids)
    if model.config.get_text_config().tie_word_embeddings:
        model.tie_weights()
    _remap_config(model, kept)
    if getattr(embedding, "padding_idx", None) is not None:
        embedding.padding_idx = model.config.get_text_config().pad_token_id


def _remap_config(model: PreTrainedModel, kept: KeptTokens) -> None:
    new_id = {old: new for new, old in enumerate(kept.ids)}
    configs = {
        id(config): config
        for config in (model.config, model.config.get_text_config(), model.generation_config)
        if config is not None
    }
    for config in configs.values():
        for name in ("bos_token_id", "eos_token_id", "pad_token_id", "unk_token_id"):
            old = getattr(config, name, None)
            if isinstance(old, list):
                setattr(config, name, [new_id[i] for i in old if i in new_id])
            elif old is not None:
                setattr(config, name, new_id.get(old))


def trim_tokenizer(tokenizer: PreTrainedTokenizerFast, kept: KeptTokens) -> PreTrainedTokenizerFast:
    """Return a copy of ``tokenizer`` over the kept tokens, with the same special tokens."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    trimmed = trim_tokenizer_json(json.loads(tokenizer.backend_tokenizer.to_str()), kept)
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(trimmed)),
        chat_template=getattr(tokenizer, "chat_template", None),
        clean_up_tokenization_spaces=False,
        padding_side=tokenizer.padding_side,
        **tokenizer.special_tokens_map,
    )


def tokens_per_word(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> float:
    """Tokens a white-space word over ``texts``; 0 without words."""
    words = sum(len(text.split()) for text in texts)
    encoded = tokenizer(list(texts), add_special_tokens=False)["input_ids"] if texts else []
    return sum(map(len, encoded)) / words if words else 0.0


@dataclass(frozen=True, slots=True)
class TrimCheck:
    """Whether a trimmed tokenizer suits some texts: tokens a word before and after."""

    tokens_per_word: float
    trimmed_tokens_per_word: float

    @property
    def suits(self) -> bool:
        """False when tokens a word grow by more than a tenth."""
        return self.trimmed_tokens_per_word <= MAX_GROWTH * self.tokens_per_word


def check_texts(
    full: PreTrainedTokenizerFast, trimmed: PreTrainedTokenizerFast, texts: Sequence[str]
) -> TrimCheck:
    """Compare two tokenizers on ``texts``, for example a sample of the user's corpus.

    At most ``MAX_CHECKED`` of them are read, evenly spread.
    """
    texts = texts[:: -(-len(texts) // MAX_CHECKED)] if texts else texts
    return TrimCheck(tokens_per_word(full, texts), tokens_per_word(trimmed, texts))


# Written for this check: accents, symbols, an emoji and another script must survive as bytes.
PROOF_TEXTS = (
    "Pt is a 67 yo male w/ CHF (EF 35%), here c/o worsening SOB x3 days; denies chest pain.",
    "Labs: Na 134 mmol/L, K+ 5.2, WBC 11.4 x 10^9/L.\n\nPlan:\n- furosemide 40 mg IV\n- recheck",
    "Germline variants of the tumour-suppressor gene predispose to colon carcinoma (P < 0.05).",
    "Sjögren's syndrome, naïve T cells, 37 °C, 5 µg, α-fetoprotein, β₂-microglobulin, ≥ 3 — fin.",
    "  two spaces,\ttabs\r\nand \U0001fa7a beside 患者 and пациент ",
)


@dataclass(frozen=True, slots=True)
class TrimProof:
    """What was checked when a model was trimmed.

    ``max_logit_gap`` is the largest absolute difference between a logit of the full and of the
    trimmed model, over the ``n_kept`` kept tokens.
    """

    max_logit_gap: float
    n_kept: int


def reference_logits(
    model: PreTrainedModel,
    full: PreTrainedTokenizerFast,
    trimmed: PreTrainedTokenizerFast,
    kept: KeptTokens,
    *,
    texts: Sequence[str] = PROOF_TEXTS,
) -> list[tuple[str, torch.Tensor]]:
    """What ``prove`` compares with.

    Each text as the full tokenizer gives it back, and the full model's logits of the kept tokens
    on the trimmed tokenizer's tokens.
    """
    import torch

    old_ids = torch.tensor(kept.ids, device=model.device)
    found = []
    for text in texts:
        back = full.decode(full.encode(text, add_special_tokens=False))
        ids = old_ids[torch.tensor(trimmed.encode(text, add_special_tokens=False))]
        with torch.no_grad():
            logits = model(input_ids=ids.unsqueeze(0)).logits[0, :, old_ids].float()
        found.append((back, logits))
    return found


def prove(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    kept: KeptTokens,
    reference: Sequence[tuple[str, torch.Tensor]],
    *,
    texts: Sequence[str] = PROOF_TEXTS,
    tolerance: float = 1e-3,
) -> TrimProof:
    """Check a trimmed model against ``reference_logits`` of the full one.

    Raises:
        ModelError: a text does not survive encoding and decoding as it does with the full
            tokenizer, or a kept token's logit differs by more than ``tolerance``.
    """
    import torch

    gap = 0.0
    for text, (back, old) in zip(texts, reference, strict=True):
        ids = tokenizer.encode(text, add_special_tokens=False)
        if tokenizer.decode(ids) != back:
            raise ModelError("the trimmed tokenizer does not give a check text back")
        with torch.no_grad():
            new = model(input_ids=torch.tensor([ids], device=model.device)).logits[0].float()
        gap = max(gap, float((new - old).abs().max()))
    if not gap <= tolerance:
        raise ModelError(f"the trimmed model's logits differ by up to {gap:.3g}")
    return TrimProof(gap, len(kept.ids))
