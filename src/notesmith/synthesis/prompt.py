"""Prompts and completions: what the model reads and what it learns to write.

Templates are files in ``prompts/``; marks stand where ``markup.to_lm`` puts them for a model.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from string import Template

from notesmith.document import Document, attributes_in
from notesmith.markup import Marks, nest, render, to_lm
from notesmith.segments import Unit
from notesmith.synthesis.config import PromptConfig
from notesmith.synthesis.requests import Request

_WORDS_STEP = 5


@cache
def template(name: str) -> Template:
    """The prompt template ``name``."""
    text = files("notesmith.synthesis").joinpath("prompts", f"{name}.txt").read_text("utf-8")
    return Template(text.removesuffix("\n"))


def rounded_words(n: int) -> int:
    """Length as the prompt tells it: a multiple of 5 words, at least 5."""
    return max(_WORDS_STEP, _WORDS_STEP * round(n / _WORDS_STEP))


def mentions_line(
    mentions: Sequence[tuple[str, str]],
    labels: Sequence[str],
    attributes: Sequence[Sequence[str]] = (),
) -> str:
    """``Disease: a; b (negated)`` for each label asked for; ``No Disease.`` where nothing is.

    A sentence and no empty list: a model told ``Disease: none`` writes *none* as a mention.
    ``attributes`` are those of each mention, or empty.
    """
    asked: dict[str, list[str]] = {}
    for k, (label, mention) in enumerate(mentions):
        own = attributes[k] if attributes else ()
        asked.setdefault(label, []).append(f"{mention} ({', '.join(own)})" if own else mention)
    if not asked:
        return f"No {labels[0] if len(labels) == 1 else 'mentions'}."
    return " | ".join(f"{label}: {'; '.join(names)}" for label, names in asked.items())


def described(mentions: Sequence[tuple[str, str]], descriptions: Mapping[str, str]) -> list[str]:
    """A line ``Disease means …`` for each described label that is asked for, in order."""
    asked = dict.fromkeys(label for label, _ in mentions)
    return [f"{label} means {descriptions[label]}" for label in asked if label in descriptions]


def prompt_of(
    request: Request,
    *,
    config: PromptConfig,
    unit: Unit,
    labels: Sequence[str],
) -> str:
    """The prompt of one request, without white space at its end.

    Descriptions of the labels that are asked for stand before the mentions, a line each.
    """
    asked = mentions_line(request.mentions, labels, request.attributes)
    return template(config.template).substitute(
        unit=unit,
        kind=config.kind or "clinical note",
        words=rounded_words(request.words),
        mentions="\n".join([*described(request.mentions, config.label_descriptions), asked]),
        neighbour=request.neighbour,
        before=request.before,
        after=request.after,
    )


def whole_text(request: Request, written: str) -> str:
    """The whole marked text: what a grounded template gave, and what was written."""
    gap = " " if request.after and not written.endswith(" ") else ""
    return f"{request.before}{written}{gap}{request.after}"


def completion_of(unit: Document, marks: Marks) -> str:
    """What the model should write for ``unit``: a space, then the marked text."""
    return to_lm(" " + render(unit, marks).text, marks)


def mentions_of(unit: Document) -> tuple[tuple[str, str], ...]:
    """(label, mention) of every entity that markup can hold, in order of its open mark."""
    entities, _ = nest(unit.entities)
    return tuple((ent.label, " ".join(ent.mention(unit.text).split())) for ent in entities)


def attributes_of(unit: Document, marks: Marks) -> tuple[tuple[str, ...], ...]:
    """Attributes that have a mark, of each mention of ``mentions_of``; empty if none has any."""
    if not marks.attributes:
        return ()
    entities, _ = nest(unit.entities)
    return tuple(tuple(a for a in ent.attributes if a in marks.attributes) for ent in entities)


def values_in(docs: Iterable[Document], names: Collection[str]) -> tuple[str, ...]:
    """The attributes called ``names`` as mentions of ``docs`` have them: flags, NAME=VALUE."""
    found = attributes_in(docs) if names else {}
    return tuple(value for name, values in found.items() if name in names for value in values)
