"""The two stages of the generator: fine-tune on gold, then sample what was planned."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from notesmith.config import RecipeConfig, SampleConfig, SftConfig, SynthesizeConfig
from notesmith.document import Document, Entity, Provenance
from notesmith.errors import StageError
from notesmith.filters import Candidate
from notesmith.markup import ESCAPE, Marks, nest, render
from notesmith.progress import OnProgress, silent
from notesmith.segments import cut, split
from notesmith.synthesize.decode import Annotator, Lexicon, candidates_of
from notesmith.synthesize.names import NameSet
from notesmith.synthesize.prompt import completion_of, mentions_of, prompt_of, to_lm
from notesmith.synthesize.requests import Request, plan_requests

if TYPE_CHECKING:
    from notesmith.lm import Example, LanguageModel, MarkConstraint, Sample, SftResult


@dataclass(frozen=True, slots=True)
class SampleOutput:
    """What the generator wrote, parsed and labelled by source, before any filter."""

    candidates: tuple[Candidate, ...]
    tokens: int
    seconds: float


def marks_for(lm: LanguageModel, labels: Sequence[str]) -> Marks:
    """Reserved tokens where the tokenizer has enough to spare, else plain tags."""
    if len(lm.reserved) >= len(labels) + 1:
        return Marks.reserved(labels, lm.reserved)
    return Marks.plain(labels)


def units_of(docs: Sequence[Document], config: SftConfig, lm: LanguageModel) -> list[Document]:
    """Cut documents into the generator's units."""

    def count(text: str) -> int:
        return len(lm.encode(text))

    return [
        cut(doc, span)
        for doc in docs
        for span in split(
            doc,
            config.unit,
            passage_sentences=config.passage_sentences,
            max_tokens=config.max_unit_tokens,
            count_tokens=count,
        )
    ]


def hold_out(docs: Sequence[Document], ratio: float, seed: int) -> frozenset[str]:
    """Ids of the gold documents kept for early stopping: at least one, never all."""
    if ratio == 0 or len(docs) < 2:
        return frozenset()
    n = min(len(docs) - 1, max(1, round(ratio * len(docs))))
    order = np.random.default_rng(seed).permutation(len(docs))
    return frozenset(docs[int(i)].id for i in order[:n])


def examples_of(
    units: Sequence[Document],
    *,
    neighbours: Sequence[Document],
    marks: Marks,
    config: SynthesizeConfig,
    sft: SftConfig,
    kind: str,
    labels: Sequence[str],
    seed: int,
) -> list[Example]:
    """Prompt and completion of each unit; ``neighbours`` are what grounded templates show."""
    from notesmith.lm import Example

    rng = np.random.default_rng(seed)
    made: list[Example] = []
    for k, unit in enumerate(units):
        request = Request(f"e{k}", unit.id, len(unit.text.split()), mentions_of(unit))
        completion = completion_of(unit, marks)
        if config.prompt == "neighbour":
            request = replace(request, neighbour=_neighbour(unit, neighbours, marks, rng))
        elif config.prompt == "infill":
            before, middle, after = _three_parts(completion, marks, rng)
            request = replace(request, before=before.strip(), after=after.strip())
            completion = middle
        prompt = prompt_of(request, config=config, unit=sft.unit, kind=kind, labels=labels)
        made.append(Example(prompt, completion))
    return made


def run_sft(
    lm: LanguageModel,
    gold: Sequence[Document],
    config: SftConfig,
    synthesize: SynthesizeConfig,
    *,
    replaced: Sequence[Document] = (),
    kind: str,
    labels: Sequence[str],
    out: Path,
    seed: int,
    on_progress: OnProgress = silent,
) -> SftResult:
    """Teach the model to write gold's units.

    Args:
        lm: the base model.
        gold: gold documents; a part is held out for early stopping.
        config: of the training.
        synthesize: names the prompt template.
        replaced: mention-replaced copies of gold documents, so that the model learns to copy what
            it is asked for; copies of held-out documents are left out by their parent's id.
        kind: what the documents are, for the prompt.
        labels: all labels.
        out: folder that the tuned model is written to.
        seed: of the hold-out and the training.
        on_progress: told of training progress.

    Raises:
        StageError: there is nothing to learn from.
    """
    from notesmith.lm import train_sft

    held = hold_out(gold, config.dev_ratio, seed)
    copies = [d for d in replaced if not held.intersection(d.provenance.parents)]
    train = units_of([*(d for d in gold if d.id not in held), *copies], config, lm)
    dev = units_of([d for d in gold if d.id in held], config, lm)
    if not train:
        raise StageError("no gold unit to fine-tune on")
    marks = marks_for(lm, labels)

    def examples(units: Sequence[Document], offset: int) -> list[Example]:
        return examples_of(
            units,
            neighbours=train,
            marks=marks,
            config=synthesize,
            sft=config,
            kind=kind,
            labels=labels,
            seed=seed + offset,
        )

    return train_sft(
        lm,
        examples(train, 0),
        examples(dev, 1),
        config,
        out=out,
        seed=seed,
        on_progress=on_progress,
    )


def run_sample(
    lm: LanguageModel,
    gold: Sequence[Document],
    names: NameSet,
    config: RecipeConfig,
    *,
    labels: Sequence[str],
    seed: int,
    on_progress: OnProgress = silent,
    finished: Mapping[int, Sample] | None = None,
    on_samples: Callable[[list[Sample]], None] | None = None,
    annotator: Annotator | None = None,
) -> SampleOutput:
    """Plan requests from gold, let the tuned model write them, and label by source.

    Args:
        lm: the tuned model.
        gold: the gold documents that it was tuned on.
        names: approved new names.
        config: the recipe; ``synthesize``, ``sample``, ``sft`` and ``corpus.kind`` are read.
        labels: all labels.
        seed: of the plan and the sampling.
        on_progress: told of sampling progress.
        finished: samples of an interrupted run, by request number.
        on_samples: given each batch of samples as it is done.
        annotator: a committee that decides on marks nobody asked for.
    """
    from notesmith.lm.sample import sample

    synth = config.synthesize
    units = units_of(gold, config.sft, lm)
    marks = marks_for(lm, labels)
    gold_names = _names_in(units)
    n = round(synth.units_per_gold * len(units)) if synth.units_per_gold else synth.units
    requests = plan_requests(
        units,
        [mentions_of(unit) for unit in units],
        n=n,
        gold=gold_names,
        proposed=names.names,
        gold_ratio=synth.names.gold_ratio,
        seed=seed,
    )
    by_id = {unit.id: unit for unit in units}
    requests = ground(requests, by_id, marks=marks, config=synth, seed=seed)
    prompts = [
        prompt_of(r, config=synth, unit=config.sft.unit, kind=config.corpus.kind, labels=labels)
        for r in requests
    ]
    every = {
        label: (*gold_names.get(label, ()), *names.names.get(label, ()))
        for label in {*gold_names, *names.names}
    }
    made = sample(
        lm,
        prompts,
        config.sample,
        seed=seed,
        constraint=constraints_of(
            lm, marks, requests, every, config.sample, depth=nesting_depth(units)
        ),
        on_progress=on_progress,
        finished=finished,
        on_samples=on_samples,
    )
    texts = [_whole(r, s.text, synth) for r, s in zip(requests, made.samples, strict=True)]
    candidates = candidates_of(
        requests,
        texts,
        [s.ended for s in made.samples],
        marks=marks,
        lexicon=Lexicon.of(every),
        provenance=Provenance("synthetic", model=lm.name, stage="synthesize", seed=seed),
        annotator=annotator,
        reserved=lm.reserved,
    )
    return SampleOutput(tuple(candidates), made.tokens, made.seconds)


def ground(
    requests: Sequence[Request],
    units: Mapping[str, Document],
    *,
    marks: Marks,
    config: SynthesizeConfig,
    seed: int,
) -> list[Request]:
    """Add what grounded templates show: a neighbour, a beginning, or a beginning and an end."""
    rng = np.random.default_rng([seed, 7])
    pool = list(units.values())
    grounded: list[Request] = []
    for request in requests:
        unit = units[request.pattern]
        if config.prompt == "neighbour":
            request = replace(request, neighbour=_neighbour(unit, pool, marks, rng, same=True))
        elif config.prompt in ("continue", "infill"):
            # Gold's own mentions stay in the parts that are given, so ask for them by name.
            request = replace(request, mentions=mentions_of(unit), words=len(unit.text.split()))
            completion = completion_of(unit, marks)
            before, _, after = _three_parts(completion, marks, rng)
            if config.prompt == "continue":
                before, after = (_beginning(completion, marks, rng), "")
            request = replace(request, before=before.strip(), after=after.strip())
        grounded.append(request)
    return grounded


def constraints_of(
    lm: LanguageModel,
    marks: Marks,
    requests: Sequence[Request],
    names: Mapping[str, Sequence[str]],
    config: SampleConfig,
    *,
    depth: int,
) -> MarkConstraint | list[MarkConstraint] | None:
    """What keeps marks in place: one constraint for all rows, or one a row where names differ.

    None where it is not wanted, or where a mark is more than one token and cannot be constrained.
    """
    from notesmith.lm import MarkConstraint
    from notesmith.lm.constrain import Trie

    ids = [lm.encode(mark) for mark in (marks.close, *marks.opens)]
    if config.constrain == "none" or any(len(found) != 1 for found in ids):
        return None
    close, *opens = [found[0] for found in ids]
    strays = set(lm.tokenizer.convert_tokens_to_ids(list(lm.reserved)))
    never = tuple(sorted(strays - {close, *opens, *lm.eos_ids}))

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
        )

    if config.constrain == "marks":
        return constraint(None)
    by_label = dict(zip(marks.labels, opens, strict=True))
    if config.constrain == "licensed":
        return constraint({by_label[label]: trie(found) for label, found in names.items()})
    rows: list[MarkConstraint] = []
    for request in requests:
        asked: dict[str, list[str]] = {}
        for label, mention in request.mentions:
            asked.setdefault(label, []).append(mention)
        rows.append(constraint({by_label[label]: trie(found) for label, found in asked.items()}))
    return rows


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


def _names_in(units: Sequence[Document]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for unit in units:
        for label, mention in mentions_of(unit):
            found.setdefault(label, {})[mention] = None
    return {label: tuple(names) for label, names in sorted(found.items())}


def _neighbour(
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


def _beginning(completion: str, marks: Marks, rng: np.random.Generator) -> str:
    """The first 20 to 50% of a marked text."""
    return completion[
        : _place(cut_places(completion, marks), rng.uniform(0.2, 0.5), len(completion))
    ]


def _three_parts(completion: str, marks: Marks, rng: np.random.Generator) -> tuple[str, str, str]:
    places = cut_places(completion, marks)
    first = _place(places, rng.uniform(0.15, 0.4), len(completion))
    last = max(first, _place(places, rng.uniform(0.6, 0.9), len(completion)))
    return completion[:first], completion[first:last], completion[last:]


def _place(places: Sequence[int], ratio: float, length: int) -> int:
    """The place nearest to ``ratio`` of ``length``; the end where there is none."""
    return min(places, key=lambda p: abs(p - ratio * length), default=length)


def _whole(request: Request, written: str, config: SynthesizeConfig) -> str:
    """The whole marked text: what was given and what was written."""
    parts = [request.before, written] if config.prompt in ("continue", "infill") else [written]
    if config.prompt == "infill":
        parts.append((" " if request.after and not written.endswith(" ") else "") + request.after)
    return "".join(parts)
