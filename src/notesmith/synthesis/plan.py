"""What the generator is told before it writes: requests, prompts, marks, where marks may stand."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from notesmith.config.filters import LengthConfig
from notesmith.config.generator import SampleConfig, Template, UnitConfig
from notesmith.document import Document, Entity
from notesmith.errors import StageError
from notesmith.markup import ESCAPE, Marks, nest, render, to_lm
from notesmith.segments import cut, unit_spans
from notesmith.synthesis.config import GenerationConfig
from notesmith.synthesis.decode import Lexicon
from notesmith.synthesis.names import NameSet
from notesmith.synthesis.prompt import (
    attributes_of,
    completion_of,
    mentions_of,
    prompt_of,
    values_in,
)
from notesmith.synthesis.requests import Request, plan_requests
from notesmith.synthesis.steer import Steering

if TYPE_CHECKING:
    from notesmith.lm.constrain import MarkConstraint
    from notesmith.lm.load import LanguageModel


_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GenerationPlan:
    """Requests and all that follows from them, in their order.

    ``constraint`` holds for all prompts, or is None. ``lexicon`` are the approved names, gold's
    included; ``reserved`` the tokens that no text may hold besides ``marks``; ``units`` gold, cut
    as the generator writes it.
    """

    units: tuple[Document, ...]
    requests: tuple[Request, ...]
    prompts: tuple[str, ...]
    constraint: MarkConstraint | None
    marks: Marks
    lexicon: Lexicon
    reserved: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.requests)


def plan_generation(
    lm: LanguageModel,
    units: Sequence[Document],
    names: NameSet,
    config: GenerationConfig,
    *,
    n: int,
    labels: Sequence[str],
    seed: int,
    shots: int = 0,
    steering: Steering | None = None,
) -> GenerationPlan:
    """Plan ``n`` requests from gold ``units`` and say how each is put to ``lm``.

    Units in which labels are unknown are no patterns and no examples; their mentions are names like
    those of others.

    Args:
        lm: the model that will write.
        units: gold, cut as the generator writes it.
        names: approved new names.
        config: how text is asked for.
        n: number of requests.
        labels: all labels.
        seed: of the plan.
        shots: gold examples at the beginning of each prompt, for a model that is not tuned; marks
            are then plain tags, which it has seen.
        steering: quotas of labels, and concepts that are asked for by name; the concepts count as
            approved names.

    Raises:
        StageError: labels are unknown in every unit.
    """
    attributes = values_in(units, config.prompt.attributes)
    marks = Marks.plain(labels, attributes) if shots else marks_for(lm, labels, attributes)
    gold = _names_in(units)
    known = fully_labelled(units)
    patterns = _of_kept_length(known, config.length)
    requests = plan_requests(
        patterns,
        [mentions_of(unit) for unit in patterns],
        n=n,
        gold=gold,
        proposed=names.names,
        gold_ratio=config.gold_ratio,
        seed=seed,
        attributes=[attributes_of(unit, marks) for unit in patterns] if attributes else (),
        steering=steering,
    )
    by_id = {unit.id: unit for unit in units}
    requests = ground(requests, by_id, marks=marks, template=config.prompt.template, seed=seed)
    unit = config.units.unit
    prompts = [prompt_of(r, config=config.prompt, unit=unit, labels=labels) for r in requests]
    if shots:
        shown = _shown(known, requests, marks, config, labels, n=shots, seed=seed)
        prompts = [f"{before}{prompt}" for before, prompt in zip(shown, prompts, strict=True)]
    listed = steering.names() if steering else {}
    every = {
        label: (*gold.get(label, ()), *names.names.get(label, ()), *listed.get(label, ()))
        for label in {*gold, *names.names, *listed}
    }
    constraint = constraint_of(lm, marks, every, config.sample, depth=nesting_depth(units))
    return GenerationPlan(
        tuple(units),
        tuple(requests),
        tuple(prompts),
        constraint,
        marks,
        Lexicon.of(every, carriers=_carriers(units, attributes)),
        lm.reserved,
    )


def _of_kept_length(units: Sequence[Document], length: LengthConfig) -> Sequence[Document]:
    """Units as long as text has to be to be kept; all of them where none is."""
    kept = [
        unit for unit in units if length.min_words <= len(unit.text.split()) <= length.max_words
    ]
    return kept or units


def _shown(
    units: Sequence[Document],
    requests: Sequence[Request],
    marks: Marks,
    config: GenerationConfig,
    labels: Sequence[str],
    *,
    n: int,
    seed: int,
) -> list[str]:
    """Gold examples for each request, its own pattern not among them."""
    plain = config.prompt.model_copy(update={"template": "scratch"})
    shown: dict[str, str] = {}
    for unit in units:
        asked = request_for(unit, marks)
        prompt = prompt_of(asked, config=plain, unit=config.units.unit, labels=labels)
        shown[unit.id] = f"{prompt}{completion_of(unit, marks)}\n\n"
    rng = np.random.default_rng([seed, 11])
    ids = list(shown)
    found: list[str] = []
    for request in requests:
        others = [i for i in rng.permutation(len(ids))[: n + 1] if ids[i] != request.pattern]
        found.append("".join(shown[ids[i]] for i in others[:n]))
    return found


def request_for(unit: Document, marks: Marks, *, request_id: str = "") -> Request:
    """The request that ``unit`` itself would answer."""
    return Request(
        request_id,
        unit.id,
        len(unit.text.split()),
        mentions_of(unit),
        attributes=attributes_of(unit, marks),
    )


def marks_for(lm: LanguageModel, labels: Sequence[str], attributes: Sequence[str] = ()) -> Marks:
    """Reserved tokens where the tokenizer has enough to spare for all marks, else plain tags."""
    return Marks.fitting(labels, lm.reserved, attributes)


def begin_as(marks: Marks, lm: LanguageModel) -> dict[str, str]:
    """Text that each mark begins as, where it is a spare token."""
    return {mark: words for mark, words in marks.in_words().items() if mark in lm.reserved}


def units_of(docs: Sequence[Document], config: UnitConfig, lm: LanguageModel) -> list[Document]:
    """Cut documents into the generator's units.

    A unit of more than a third of the model's window, which cannot be divided at sentences, is cut
    at white space: with its prompt it would not fit.
    """
    units: list[Document] = []
    n_cut = 0
    for doc in docs:
        found = unit_spans(
            doc,
            config.unit,
            passage_sentences=config.passage_sentences,
            max_tokens=config.max_unit_tokens,
            count_tokens=lambda text: len(lm.encode(text)),
            window=lm.window,
        )
        units += [cut(doc, span) for span in found.spans]
        n_cut += found.n_cut
    if n_cut:
        _log.warning("%d units too long for the model's window were cut at white space", n_cut)
    return units


def fully_labelled(units: Sequence[Document]) -> list[Document]:
    """Units in which no label is unknown; how many others there are is logged.

    A request names the mentions that a text is to have, and thereby says that it has no others.
    Text where nobody looked for a label, or that is masked, does not bear that out.

    Raises:
        StageError: there are units, and none is such.
    """
    known = [unit for unit in units if unit.is_fully_labelled]
    n = len(units) - len(known)
    if n and not known:
        raise StageError(
            f"labels are unknown in each of {n:,} units of gold (corpus.unknown, or masked text), "
            "so a generator can learn from none; label some documents in full"
        )
    if n:
        _log.warning(
            "the generator is not shown %d of %d units of gold, because labels are unknown in them",
            n,
            len(units),
        )
    return known


def ground(
    requests: Sequence[Request],
    units: Mapping[str, Document],
    *,
    marks: Marks,
    template: Template,
    seed: int,
) -> list[Request]:
    """Add what grounded templates show: a neighbour, or a beginning and an end."""
    rng = np.random.default_rng([seed, 7])
    pool = list(units.values())
    grounded: list[Request] = []
    for request in requests:
        unit = units[request.pattern]
        if template == "neighbour":
            request = replace(request, neighbour=neighbour_of(unit, pool, marks, rng, same=True))
        elif template == "infill":
            # Gold's own mentions stay in the parts that are given, so ask for them by name.
            request = request_for(unit, marks, request_id=request.id)
            completion = completion_of(unit, marks)
            before, _, after = three_parts(completion, marks, rng)
            request = replace(request, before=before.strip(), after=after.strip())
        grounded.append(request)
    return grounded


def constraint_of(
    lm: LanguageModel,
    marks: Marks,
    names: Mapping[str, Sequence[str]],
    config: SampleConfig,
    *,
    depth: int,
) -> MarkConstraint | None:
    """What keeps marks in place.

    None where it is not wanted, or where a mark is more than one token and cannot be constrained.
    """
    from notesmith.lm.constrain import MarkConstraint, Trie

    ids = {mark: lm.encode(mark) for mark in marks.all}
    if config.constrain == "none" or any(len(found) != 1 for found in ids.values()):
        return None
    close, opens = ids[marks.close][0], [ids[mark][0] for mark in marks.opens]
    attributes = tuple(ids[mark][0] for mark in marks.attribute_marks)
    never = tuple(sorted(lm.special_ids - {close, *opens, *attributes, *lm.eos_ids}))

    def trie(mentions: Iterable[str]) -> Trie:
        return Trie.of(lm.encode(" " + mention) for mention in mentions)

    def constraint(licence: Mapping[int, Trie] | None) -> MarkConstraint:
        return MarkConstraint(
            open_ids=tuple(opens),
            close_id=close,
            eos_ids=lm.eos_ids,
            max_depth=depth if licence is None else 1,
            licence=licence,
            never_ids=never,
            attribute_ids=attributes,
        )

    if config.constrain == "marks":
        return constraint(None)
    by_label = dict(zip(marks.labels, opens, strict=True))
    return constraint({by_label[label]: trie(found) for label, found in names.items()})


def nesting_depth(units: Sequence[Document]) -> int:
    """How deep mentions nest in ``units``, at least 1."""
    deepest = 1
    for unit in units:
        stack: list[Entity] = []
        for ent in nest(unit.entities)[0]:
            while stack and stack[-1].end <= ent.start:
                stack.pop()
            stack.append(ent)
            deepest = max(deepest, len(stack))
    return deepest


def _carriers(units: Sequence[Document], attributes: Collection[str]) -> frozenset[str]:
    """Labels of mentions that carry one of ``attributes``."""
    entities = [ent for unit in units for ent in unit.entities]
    return frozenset(e.label for e in entities if not set(attributes).isdisjoint(e.attributes))


def _names_in(units: Sequence[Document]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for unit in units:
        for label, mention in mentions_of(unit):
            found.setdefault(label, {})[mention] = None
    return {label: tuple(names) for label, names in sorted(found.items())}


def neighbour_of(
    unit: Document,
    pool: Sequence[Document],
    marks: Marks,
    rng: np.random.Generator,
    *,
    same: bool = False,
) -> str:
    """A marked gold unit to imitate: the pattern itself (``same``), or one as rich in mentions."""
    if same:
        return to_lm(render(unit, marks).text, marks)
    n = len(unit.entities)
    alike = [u for u in pool if u.id != unit.id and (len(u.entities) > 0) == (n > 0)] or list(pool)
    return to_lm(render(alike[int(rng.integers(len(alike)))], marks).text, marks)


def cut_places(completion: str, marks: Marks) -> list[int]:
    """Offsets where a marked text may be cut: before a word, outside every mention, not at 0."""
    mark = marks.pattern().pattern
    places: list[int] = []
    depth = 0
    for match in re.finditer(rf" |{re.escape(ESCAPE)}(?:{mark})|{mark}", completion):
        token = match.group()
        opens = token in marks.opens
        if depth == 0 and match.start() > 0 and (token == " " or opens):
            places.append(match.start())
        depth += opens - (token == marks.close)
    return places


def three_parts(completion: str, marks: Marks, rng: np.random.Generator) -> tuple[str, str, str]:
    """Beginning, middle and end of a marked text, cut where it may be."""
    places = cut_places(completion, marks)
    first = _place(places, rng.uniform(0.15, 0.4), len(completion))
    last = max(first, _place(places, rng.uniform(0.6, 0.9), len(completion)))
    return completion[:first], completion[first:last], completion[last:]


def _place(places: Sequence[int], ratio: float, length: int) -> int:
    """The place nearest to ``ratio`` of ``length``; the end where there is none."""
    return min(places, key=lambda p: abs(p - ratio * length), default=length)
