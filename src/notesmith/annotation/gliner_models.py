"""GLiNER and GLiNER2 models by one interface: load them, ask them, and know how much they take.

Both libraries load pickles and run code that comes with a model, fetch what a folder lacks, start
missing weights at random, and cut off or refuse what is longer than their window. The door of
models and what stands here keep them from all of that.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

from notesmith.errors import MissingExtraError, ModelError
from notesmith.models.door import (
    CONFIG,
    WEIGHTS,
    check_foreign_folder,
    check_tokenizer_folder,
    read_json,
)
from notesmith.models.load import check_finite, offline, quiet, require

Kind = Literal["gliner", "gliner2"]

GLINER_CONFIG = "gliner_config.json"
ENCODER_CONFIG = f"encoder_config/{CONFIG}"
_BATCH = 8
# Words at once: both were trained on texts of some hundred words.
_WORDS = 200
# Tokens around a text and beside a prompt, at most, of
# ( [P] entities [DESCRIPTION] a: said ( [E] a [E] b ) ) [SEP_TEXT].
_AROUND, _BETWEEN = 16, 4
# What libraries say of a tokenizer without a limit is larger.
_LONGEST = 1_000_000
_REMEMBERED = 1 << 16


@dataclass(frozen=True, slots=True)
class Word:
    """A word as a model cuts a text, by offsets; a model without ``n_tokens`` does not see it."""

    start: int
    end: int
    n_tokens: int


@dataclass(frozen=True, slots=True)
class Room:
    """How much text a model takes at once."""

    words: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Found:
    """A mention in a text, by offsets into it, with the prompt that asked for it."""

    start: int
    end: int
    prompt: str
    score: float


class ZeroShot(Protocol):
    """A model that finds what prompts name."""

    kind: Kind

    def words(self, text: str) -> list[Word]:
        """The words that it cuts ``text`` into."""

    def room(self, prompts: Mapping[str, str]) -> Room:
        """How much text it takes beside ``prompts``, descriptions by prompt."""

    def ask(
        self, texts: Sequence[str], prompts: Mapping[str, str], threshold: float
    ) -> list[list[Found]]:
        """What it finds in each of ``texts`` with at least the score ``threshold``."""


class Gliner:
    """A model of the library gliner, which knows prompts by name alone."""

    kind: Kind = "gliner"

    def __init__(self, model: Any) -> None:
        self._model = model
        self._n_tokens = functools.lru_cache(_REMEMBERED)(self._count)

    def _count(self, word: str) -> int:
        tokenizer = self._model.data_processor.transformer_tokenizer
        pieces = tokenizer([word], is_split_into_words=True, add_special_tokens=False)
        return len(pieces["input_ids"])

    def words(self, text: str) -> list[Word]:
        """The words that the model cuts ``text`` into."""
        split = self._model.data_processor.words_splitter
        return [Word(start, end, self._n_tokens(word)) for word, start, end in split(text)]

    def room(self, prompts: Mapping[str, str]) -> Room:
        """How much text fits beside ``prompts``: it cuts off what exceeds words or tokens."""
        limit = self._model.data_processor.transformer_tokenizer.model_max_length
        taken = _AROUND + sum(_BETWEEN + self._n_tokens(prompt) for prompt in prompts)
        return Room(
            min(_WORDS, self._model.config.max_len), min(limit, _positions(self._model)) - taken
        )

    def ask(
        self, texts: Sequence[str], prompts: Mapping[str, str], threshold: float
    ) -> list[list[Found]]:
        """What it finds in each of ``texts``; descriptions are not read."""
        results = self._model.inference(
            list(texts), list(prompts), batch_size=_BATCH, threshold=threshold
        )
        return [
            [Found(m["start"], m["end"], m["label"], float(m["score"])) for m in result]
            for result in results
        ]


class Gliner2:
    """A model of the library gliner2, of either architecture."""

    kind: Kind = "gliner2"

    def __init__(self, model: Any) -> None:
        self._model = model
        self._n_tokens = functools.lru_cache(_REMEMBERED)(self._count)

    def _count(self, word: str) -> int:
        return len(self._model.processor.tokenizer.tokenize(word))

    def words(self, text: str) -> list[Word]:
        """The words that the model cuts ``text`` into."""
        split = self._model.processor.word_splitter
        return [
            Word(start, end, self._n_tokens(word)) for word, start, end in split(text, lower=True)
        ]

    def room(self, prompts: Mapping[str, str]) -> Room:
        """How much text fits beside ``prompts``: it fails where tokens exceed its positions."""
        taken = _AROUND
        for prompt, said in prompts.items():
            name = _BETWEEN + self._n_tokens(prompt)
            taken += name + (name + self._n_tokens(said) if said else 0)
        return Room(_WORDS, _positions(self._model) - taken)

    def ask(
        self, texts: Sequence[str], prompts: Mapping[str, str], threshold: float
    ) -> list[list[Found]]:
        """What it finds in each of ``texts``.

        The library ends a text with a full stop where it has none, and finds mentions that reach
        into it; they end where the text ends.
        """
        results = self._model.batch_extract_entities(
            list(texts),
            {p: {"description": said} if said else {} for p, said in prompts.items()},
            batch_size=_BATCH,
            threshold=threshold,
            include_confidence=True,
            include_spans=True,
        )
        return [
            [
                Found(m["start"], min(m["end"], len(text)), prompt, float(m["confidence"]))
                for prompt, mentions in (result.get("entities") or {}).items()
                for m in mentions or ()
                if m["start"] < len(text)
            ]
            for text, result in zip(texts, results, strict=True)
        ]


def load_gliner(folder: Path, kind: Kind) -> ZeroShot:
    """The model of a folder on this machine.

    Raises:
        MissingExtraError: its library is not installed.
        ModelError: the folder is not there, is refused, or cannot be loaded.
    """
    require("transformers", "models")
    library = require(kind, kind)
    settings = (GLINER_CONFIG,) if kind == "gliner" else (ENCODER_CONFIG,)
    if folder.is_dir() and not (folder / WEIGHTS).exists():
        raise ModelError(
            f"{folder}: no safetensors weights ({WEIGHTS}); other formats are not loaded. Load the "
            "model where you trust it, and save it by "
            f"save_pretrained(FOLDER{', safe_serialization=True' if kind == 'gliner' else ''})"
        )
    check_foreign_folder(folder, settings)
    if kind == "gliner":
        _check_gliner(folder)
    elif not (folder / ENCODER_CONFIG).exists():
        raise ModelError(f"{folder}: not a model folder of gliner2 (no {ENCODER_CONFIG})")
    try:
        loader = library.GLiNER if kind == "gliner" else library.AutoExtractor
        with offline(), quiet():
            model = loader.from_pretrained(str(folder))
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or kind, kind) from error
    except Exception as error:
        raise ModelError(
            f"{folder}: {kind} cannot load this model ({type(error).__name__}); name the folder "
            f"of a model of {kind}"
        ) from error
    if kind == "gliner":
        _check_weights(model.model, folder)
    check_finite(model, folder)
    return Gliner(model) if kind == "gliner" else Gliner2(model)


def _check_gliner(folder: Path) -> None:
    """Refuse what makes the library gliner look for files elsewhere, and models of other tasks."""
    if not (folder / GLINER_CONFIG).exists():
        raise ModelError(f"{folder}: not a model folder of gliner (no {GLINER_CONFIG})")
    config = read_json(folder / GLINER_CONFIG)
    if config.get("relations_layer") or config.get("labels_decoder"):
        raise ModelError(
            f"{folder}: a model of relations or of free labels; name one of entities alone"
        )
    labels = config.get("labels_encoder")
    lacks = [] if config.get("encoder_config") else ["the configuration of its encoder"]
    if labels and not config.get("labels_encoder_config"):
        lacks.append("the configuration of its encoder of labels")
    if not (folder / "tokenizer_config.json").exists():
        lacks.append("its tokenizer")
    if lacks:
        raise ModelError(
            f"{folder}: lacks {' and '.join(lacks)}, which gliner would fetch; load it where the "
            "hub can be reached, and save it by save_pretrained(FOLDER, safe_serialization=True)"
        )
    if labels:
        if not Path(labels).is_dir():
            raise ModelError(
                f"{folder}: the tokenizer of its labels is elsewhere; set labels_encoder in "
                f"{GLINER_CONFIG} to a folder on this machine that holds it"
            )
        check_tokenizer_folder(Path(labels))


def _check_weights(model: Any, folder: Path) -> None:
    """Raise ModelError where a weight is not in the file: gliner starts it at random."""
    from safetensors import safe_open

    with safe_open(folder / WEIGHTS, "pt") as file:
        held = set(file.keys())
    names: dict[int, set[str]] = {}
    for name, weight in model.named_parameters(remove_duplicate=False):
        names.setdefault(id(weight), set()).add(name)
    lost = sorted(min(own) for own in names.values() if not own & held)
    if lost:
        raise ModelError(
            f"{folder}: {len(lost)} of {len(names)} weights are not in {WEIGHTS}, the first "
            f"{lost[0]!r}; it is damaged, or of another model than {GLINER_CONFIG} says"
        )


def _positions(model: Any) -> int:
    """Tokens for which ``model`` has positions; a large number where positions are relative."""
    found = [_LONGEST]
    for module in model.modules():
        table = getattr(getattr(module, "embeddings", None), "position_embeddings", None)
        if table is not None and hasattr(table, "num_embeddings"):
            offset = 0 if table.padding_idx is None else table.padding_idx + 1
            found.append(table.num_embeddings - offset)
    return min(found)
