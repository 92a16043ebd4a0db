"""What a language model reads and writes when it annotates: prompts, and answers in two forms.

A model sees a unit of text with every run of white space as one space, and writes its mentions as
JSON (``markup_json``) or the unit with marks around them (``markup``). Templates are files in
``prompts/``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Literal

from notesmith.annotation.grammar import InlineGrammar, JsonGrammar
from notesmith.config.generator import UnitConfig
from notesmith.document import Document, Entity, Span
from notesmith.lm.grammar import Grammar
from notesmith.markup import ESCAPE, Fault, Marks, Rendered, flatten, from_lm, parse, render, to_lm
from notesmith.markup_json import CONTEXT_WORDS, Mentions, PlainText
from notesmith.markup_json import parse as parse_json
from notesmith.markup_json import render as render_json
from notesmith.segments import UNITS_IN_WINDOW, unit_spans

if TYPE_CHECKING:
    from notesmith.lm.load import LanguageModel

FormName = Literal["json", "inline"]


@dataclass(frozen=True, slots=True)
class Form:
    """What is asked and how it is answered.

    Attributes:
        name: a list of mentions in JSON, or the text with marks.
        marks: of every label, and of the attributes that are asked for; JSON takes their names.
        unit: what one text is called in prompts, as ``sentence``.
        kind: what the documents are called, as ``note``; empty for a clinical note.
        label_descriptions: one line on a label, by label.
        context_words: words beside a mention (JSON).
    """

    name: FormName
    marks: Marks
    unit: str = "sentence"
    kind: str = ""
    label_descriptions: Mapping[str, str] = field(default_factory=dict)
    context_words: int = CONTEXT_WORDS

    def prompt(self, text: str) -> str:
        """What the model reads before it answers; no white space at its end."""
        told = self.label_descriptions
        described = [f"{name} means {told[name]}" for name in self.marks.labels if name in told]
        filled = _template(self.name).substitute(
            labels=", ".join(self.marks.labels),
            unit=self.unit,
            kind=self.kind or "clinical note",
            descriptions="\n".join(described),
            text=PlainText.of(text).text[1:],
        )
        return filled if described else filled.replace("\n\n", "\n", 1)

    def answer(self, unit: Document) -> Rendered:
        """What the model shall write about ``unit``, and what had to be flattened for it."""
        if self.name == "json":
            return render_json(
                unit, attributes=self.marks.attributes, context_words=self.context_words
            )
        entities, counts = flatten(unit.entities)
        plain = PlainText.of(unit.text)
        moved: list[Entity] = []
        for ent in entities:
            place = plain.place((ent.start, ent.end))
            mention = ent.mention(unit.text)
            counts["white space"] += mention != mention.strip()
            if place is not None:
                start = place[0] + (plain.text[place[0]] == " ")
                moved.append(replace(ent, spans=((start, place[1]),)))
        marked = render(Document(unit.id, plain.text, tuple(moved)), self.marks)
        return Rendered(to_lm(marked.text, self.marks), dict(+counts))

    def grammar(self, text: str) -> Grammar:
        """What may be written about ``text``."""
        if self.name == "json":
            return JsonGrammar.of(text, self.marks.labels, self.marks.attributes)
        return InlineGrammar.of(PlainText.of(text).text[1:], self.marks)

    def read(self, text: str, answer: str, *, ended: bool) -> Mentions:
        """The mentions of ``text`` that ``answer`` tells; it never raises for any ``answer``.

        Args:
            text: what was labelled.
            answer: what was written.
            ended: False where the answer ran out of tokens.
        """
        if self.name == "json":
            labels, attributes = self.marks.labels, self.marks.attributes
            return parse_json(text, answer, labels, attributes=attributes, ended=ended)
        return _read_copy(text, answer, self.marks, ended=ended)


@cache
def _template(name: str) -> Template:
    text = files("notesmith.annotation").joinpath("prompts", f"{name}.txt").read_text("utf-8")
    return Template(text.removesuffix("\n"))


def _read_copy(text: str, answer: str, marks: Marks, *, ended: bool) -> Mentions:
    """The mentions of a marked copy, which must be of all of ``text``, up to white space."""
    if not ended:
        return Mentions(failures={"cut off": 1})
    found = parse(from_lm(answer, marks), marks, doc_id="answer")
    if isinstance(found, Fault):
        return Mentions(failures={found.reason: 1})
    plain, copy = PlainText.of(text), PlainText.of(found.text)
    if plain.text != copy.text:
        return Mentions(failures={"changed text": 1})
    marked = _marked(answer, marks)
    if len(marked) != len(found.entities):
        # White space that moves from or to a mark made or undid an escape.
        return Mentions(failures={"bad escape": 1})
    ranges = dict(zip((ent.id for ent in found.entities), marked, strict=True))
    kept, counts = flatten(found.entities)
    failures = Counter({"overlapping": counts["nested"]})
    entities: list[Entity] = []
    places: list[Span] = []
    for ent in kept:
        place = copy.place((ent.start, ent.end))
        if place is None:
            failures["empty mention"] += 1
            continue
        span = plain.original(place)
        entities.append(Entity(f"T{len(entities) + 1}", ent.label, (span,), ent.attributes))
        places.append(ranges[ent.id])
    return Mentions(tuple(entities), tuple(places), dict(+failures))


def _marked(answer: str, marks: Marks) -> list[Span]:
    """From open to close mark, of each mention of an answer, as they open; none if unbalanced."""
    found: list[list[int]] = []
    opened: list[list[int]] = []
    pattern = marks.pattern()
    at = 0
    while match := pattern.search(answer, at):
        at = match.end()
        if match.group() == ESCAPE:
            literal = pattern.match(answer, at)
            at = literal.end() if literal else at
        elif match.group() == marks.close:
            if not opened:
                return []
            opened.pop()[1] = at
        elif match.group() in marks.opens:
            opened.append([match.start(), at])
            found.append(opened[-1])
    return [(start, end) for start, end in found]


def shots_of(form: Form, units: Sequence[Document]) -> str:
    """Gold ``units`` as examples that a prompt begins with, an empty line after each."""
    return "".join(f"{form.prompt(u.text)}{form.answer(u).text}\n\n" for u in units)


def spans_of(doc: Document, config: UnitConfig, lm: LanguageModel) -> tuple[Span, ...]:
    """Where ``doc`` is cut into the units that ``lm`` reads.

    Where a sentence is longer than a unit may be, it is cut at white space: an answer about it
    would be as long.
    """
    longest = UNITS_IN_WINDOW * config.max_unit_tokens
    return unit_spans(
        doc,
        config.unit,
        passage_sentences=config.passage_sentences,
        max_tokens=config.max_unit_tokens,
        count_tokens=lambda text: len(lm.encode(text)),
        window=min(lm.window or longest, longest),
    ).spans
