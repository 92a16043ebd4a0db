"""Which texts the page of examples shows: gold, kept and dropped text of one draw."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np

from notesmith.document import Document
from notesmith.experiment.artefacts import load_candidates, load_docs, load_dropped
from notesmith.experiment.graph import Cell
from notesmith.experiment.plan import Plan
from notesmith.experiment.stages import coverage, rl
from notesmith.experiment.store import CellStore
from notesmith.filters.candidate import Candidate
from notesmith.report.examples import DroppedExample, ExampleSet, PairedExample
from notesmith.segments import cut, split

_N_GOLD = 20
_N_KEPT = 40
_N_PER_REASON = 4
_N_PAIRS = 20


def examples_of(plan: Plan, store: CellStore) -> ExampleSet | None:
    """Choose at random from the first draw that has made text; None before there is any."""
    for target in plan.targets:
        filtered = target.cell.inputs.get("made")
        if target.cell.stage != coverage.STAGE or filtered is None:
            continue
        if store.verify(filtered) and store.verify(filtered.inputs["gold"]):
            pairs, rewarded = _pairs(filtered, plan, store)
            return replace(examples_in(filtered, store), pairs=pairs, rewarded=rewarded)
    return None


def examples_in(filtered: Cell, store: CellStore) -> ExampleSet:
    """Choose at random from what a filter kept and dropped, and from its gold."""
    rng = np.random.default_rng(filtered.seed)
    units = [
        cut(doc, span)
        for doc in load_docs(store.folder(filtered.inputs["gold"]))
        for span in split(doc, "passage", passage_sentences=2)
    ]
    return ExampleSet(
        gold=_some(units, _N_GOLD, rng),
        kept=_some(load_docs(store.folder(filtered)), _N_KEPT, rng),
        dropped=_dropped(filtered, store, rng),
    )


def _pairs(filtered: Cell, plan: Plan, store: CellStore) -> tuple[tuple[PairedExample, ...], str]:
    """What the fine-tuned generator and one that learnt from rewards wrote for the same request."""
    rng = np.random.default_rng([filtered.seed, 1])
    plain = filtered.inputs["candidates"]
    for target in plan.targets:
        cell = target.cell
        if cell.stage != coverage.STAGE or (cell.size, cell.replicate) != (
            plain.size,
            plain.replicate,
        ):
            continue
        other = cell.inputs["made"].inputs["candidates"]
        model = other.inputs.get("model")
        if model is None or model.stage != rl.STAGE or rl.STAGE.config_of(model).rl.placebo:
            continue
        if not (store.verify(plain) and store.verify(other)):
            continue
        after = {c.id: c for c in load_candidates(store.folder(other))}
        both = [(c, after[c.id]) for c in load_candidates(store.folder(plain)) if c.id in after]
        same = [(a, b) for a, b in both if a.requested == b.requested]
        chosen = [same[int(i)] for i in sorted(rng.permutation(len(same))[:_N_PAIRS])]
        return tuple(PairedExample(a.requested, _text(a), _text(b)) for a, b in chosen), target.arm
    return (), ""


def _text(candidate: Candidate) -> Document | str:
    return candidate.result if isinstance(candidate.result, Document) else candidate.marked


def _some(docs: list[Document], n: int, rng: np.random.Generator) -> tuple[Document, ...]:
    return tuple(docs[int(i)] for i in sorted(rng.permutation(len(docs))[:n]))


def _dropped(
    filtered: Cell, store: CellStore, rng: np.random.Generator
) -> tuple[DroppedExample, ...]:
    by_reason: defaultdict[str, list[DroppedExample]] = defaultdict(list)
    for found in load_dropped(store.folder(filtered)):
        candidate = found.candidate
        doc = candidate.result if isinstance(candidate.result, Document) else None
        by_reason[found.reason].append(
            DroppedExample(found.reason, candidate.marked, doc, found.match, found.likeness)
        )
    return tuple(
        found[int(i)]
        for _, found in sorted(by_reason.items(), key=lambda item: -len(item[1]))
        for i in sorted(rng.permutation(len(found))[:_N_PER_REASON])
    )
