"""GLiNER and GLiNER2 as annotators: small encoders that find what the names of labels describe.

They are asked by name for every label of the project, and for others that are to be left out. Notes
are read in pieces of whole sentences, for both cut what is longer than their window.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from notesmith.annotation.mentions import MentionAnnotator, with_score
from notesmith.annotation.tagger import LabelMap, annotator_of
from notesmith.document import Document, Entity, Span
from notesmith.errors import ModelError
from notesmith.models.load import offline, quiet, require
from notesmith.progress import OnProgress, Progress
from notesmith.segments import cut_long, split
from notesmith.words import words

MISPLACED = "mentions whose offsets do not fit their text"
_NOTES_AT_ONCE, _BATCH = 32, 8
# Of our words. Both models take some 380 of theirs, which are no shorter.
_WORDS = 200


@dataclass(frozen=True, slots=True)
class Found:
    """A mention in a piece of text, by offsets into it, with the prompt that asked for it."""

    start: int
    end: int
    text: str
    prompt: str
    score: float


Ask = Callable[[Sequence[str]], list[list[Found]]]
"""Finds the mentions of each of several texts."""


def load_gliner(folder: Path, kind: Literal["gliner", "gliner2"]) -> Any:
    """The model of a folder on this machine.

    Raises:
        MissingExtraError: its library is not installed.
        ModelError: the folder is not there, or cannot be loaded.
    """
    library = require(kind, kind)
    if not folder.is_dir():
        raise ModelError(f"{folder}: there is no such model folder")
    if not list(folder.glob("*.safetensors")):
        raise ModelError(f"{folder}: holds no weights as safetensors; convert the model first")
    # Newer versions of GLiNER2 have two architectures, and a class that tells them apart.
    loader = library.GLiNER if kind == "gliner" else getattr(library, "AutoExtractor", None)
    loader = loader or library.GLiNER2
    try:
        with offline(), quiet():
            return loader.from_pretrained(str(folder))
    except Exception as error:
        raise ModelError(
            f"{folder}: {kind} cannot load this model ({type(error).__name__}); name the folder "
            f"of a model of {kind}"
        ) from error


def prompts_of(labels: Sequence[str], label_map: Mapping[str, str]) -> dict[str, str]:
    """What the model is asked for, with the label that it stands for ('' is left out).

    A label that nothing is mapped to is asked for by its own name, ``Sign_symptom`` as
    ``sign symptom``.
    """
    own = set(labels) - set(label_map.values())
    return dict(label_map) | {
        label.replace("_", " ").lower(): label for label in labels if label in own
    }


def of_gliner(
    model: Any,
    kind: Literal["gliner", "gliner2"],
    labels: tuple[str, ...],
    label_map: Mapping[str, str],
    *,
    name: str,
    descriptions: Mapping[str, str] = {},
    threshold: float = 0.5,
) -> MentionAnnotator:
    """What ``model`` finds for ``prompts_of(labels, label_map)``, with its scores.

    Args:
        model: ``GLiNER2``, its ``BoundaryExtractor``, or ``GLiNER``.
        kind: the library of ``model``.
        labels: of the project.
        label_map: prompt to label; '' asks and drops, which tells near kinds apart.
        name: what it is called.
        descriptions: one line on a label, by label or prompt; GLiNER2 alone reads them.
        threshold: mentions with a lower score are not found.

    Raises:
        ConfigError: a prompt is mapped to what is no label.
    """
    prompts = prompts_of(labels, label_map)
    mapping = LabelMap.of((), labels, prompts)
    said = {p: descriptions.get(p, descriptions.get(own, "")) for p, own in prompts.items()}
    ask = _ask_gliner if kind == "gliner" else _ask_gliner2
    finder = _Finder(lambda texts: ask(model, texts, said, threshold), kind)
    return annotator_of(name, finder.find, labels, mapping)


def _ask_gliner2(
    model: Any, texts: Sequence[str], prompts: Mapping[str, str], threshold: float
) -> list[list[Found]]:
    results = model.batch_extract_entities(
        list(texts),
        {prompt: said or prompt for prompt, said in prompts.items()},
        batch_size=_BATCH,
        threshold=threshold,
        include_confidence=True,
        include_spans=True,
    )
    return [
        [
            Found(m["start"], m["end"], m["text"], prompt, float(m["confidence"]))
            for prompt, mentions in (result.get("entities") or {}).items()
            for m in mentions or ()
        ]
        for result in results
    ]


def _ask_gliner(
    model: Any, texts: Sequence[str], prompts: Mapping[str, str], threshold: float
) -> list[list[Found]]:
    results = model.inference(list(texts), list(prompts), batch_size=_BATCH, threshold=threshold)
    return [
        [Found(m["start"], m["end"], m["text"], m["label"], float(m["score"])) for m in result]
        for result in results
    ]


@dataclass(frozen=True, slots=True)
class _Finder:
    ask: Ask
    kind: str

    def find(
        self, docs: Sequence[Document], on_progress: OnProgress, counts: Counter[str]
    ) -> Iterator[Document]:
        began = perf_counter()
        for first in range(0, len(docs), _NOTES_AT_ONCE):
            group = docs[first : first + _NOTES_AT_ONCE]
            pieces = [(i, span) for i, doc in enumerate(group) for span in pieces_of(doc)]
            texts = [group[i].text[start:end] for i, (start, end) in pieces]
            answers = self.ask(texts) if texts else []
            found: list[list[Found]] = [[] for _ in group]
            for (i, (start, _)), answer in zip(pieces, answers, strict=True):
                found[i] += [_moved(one, start) for one in answer]
            for doc, own in zip(group, found, strict=True):
                yield _labelled(doc, own, counts)
            done = first + len(group)
            on_progress(Progress(self.kind, done, len(docs), "notes", 0, perf_counter() - began))


def pieces_of(doc: Document) -> list[Span]:
    """Ranges of whole sentences that fit a window; a sentence that does not is cut at spaces."""

    def count(text: str) -> int:
        return len(words(text))

    bare = doc.with_entities(())
    return [
        part
        for span in split(bare, "document", max_tokens=_WORDS, count_tokens=count)
        for part in (
            [span]
            if count(doc.text[slice(*span)]) <= _WORDS
            else cut_long(bare, span, _WORDS, count)
        )
    ]


def _moved(one: Found, offset: int) -> Found:
    return Found(one.start + offset, one.end + offset, one.text, one.prompt, one.score)


def _labelled(doc: Document, found: Sequence[Found], counts: Counter[str]) -> Document:
    """``doc`` with what was found; of a mention that several prompts found all are kept."""
    entities: list[Entity] = []
    for one in found:
        if doc.text[one.start : one.end] != one.text or not one.text.strip():
            counts[MISPLACED] += 1
            continue
        ent = Entity(f"T{len(entities) + 1}", one.prompt, ((one.start, one.end),))
        entities.append(with_score(ent, one.score))
    return doc.with_entities(entities)
