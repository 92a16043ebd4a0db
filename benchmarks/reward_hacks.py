"""What each known way to earn without helping is paid, on a real corpus with the real judges.

    python benchmarks/reward_hacks.py RUN [--replicate 1] [--requests 96] [--out OUT.json]

RUN is the folder of a recipe that has rewards; fine-tuned model, names and committee of the draw
are taken from it, and made if they are missing. The fine-tuned model answers each request four
times: texts that pass the gates are the honest ones. Then one of the four is replaced by a hack,
and its reward, among its honest fellows, is compared with the honest median. Prints a table, and
ids or text never.
"""

from __future__ import annotations

import argparse
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from notesmith.augmentation import shuffle_labels
from notesmith.document import Document, Entity
from notesmith.experiment import artefacts as files
from notesmith.experiment.draw import Draw
from notesmith.experiment.engine import run_cells
from notesmith.experiment.graph import Cell, Context, Work
from notesmith.experiment.recipes import RECIPE, load_recipe
from notesmith.experiment.run import corpus_paths, fingerprints_of
from notesmith.experiment.stages import SOURCES, gold, rl
from notesmith.experiment.stages.committee import judges_of
from notesmith.experiment.stages.common import gold_in, labels_in, load_tuned
from notesmith.experiment.store import CellStore
from notesmith.filters import Candidate
from notesmith.home import home
from notesmith.lm.rollout import Reward, Rollout
from notesmith.synthesis import reward_of
from notesmith.synthesis.generate import candidates_from, provenance_of
from notesmith.synthesis.plan import GenerationPlan, plan_generation, units_of
from notesmith.synthesis.prompt import completion_of
from notesmith.synthesis.requests import Request
from notesmith.words import words

N_EACH = 4
# Pieces of a text: plain, or (label, mention).
Pieces = Sequence[str | tuple[str, str]]
# A hack of a request: what is written for it, or None where it does not apply.
Hack = Callable[["Case"], Document | str | None]


@dataclass(frozen=True, slots=True)
class Case:
    """A request, the gold unit it is patterned on, an honest answer, and names it may use."""

    request: Request
    pattern: Document
    honest: Document
    names: tuple[tuple[str, str], ...]
    gold: tuple[Document, ...]
    seed: int


def compose(pieces: Pieces) -> Document:
    """A document of plain and marked pieces."""
    text = ""
    entities: list[Entity] = []
    for piece in pieces:
        mention = piece if isinstance(piece, str) else piece[1]
        if not isinstance(piece, str):
            span = (len(text), len(text) + len(mention))
            entities.append(Entity(f"T{len(entities) + 1}", piece[0], (span,)))
        text += mention
    return Document("hack", text, tuple(entities))


def list_of(mentions: Sequence[tuple[str, str]], before: str = "", after: str = "") -> Document:
    """``before``, the mentions divided by "and", ``after``."""
    pieces: list[str | tuple[str, str]] = [before]
    for i, mention in enumerate(mentions):
        pieces += [" and " if i else "", mention]
    return compose([*pieces, after])


def refilled(case: Case, edit: Callable[[str, int], str]) -> Document | None:
    """The gold unit with the requested mentions in its mentions' places; its words edited."""
    ents = sorted(case.pattern.entities, key=lambda e: e.start)
    wanted = list(case.request.mentions)
    if len(ents) != len(wanted) or any(a.end > b.start for a, b in itertools.pairwise(ents)):
        return None
    pieces: list[str | tuple[str, str]] = []
    at, n = 0, 0
    for ent, mention in zip([*ents, None], [*wanted, None], strict=True):
        between = case.pattern.text[at : ent.start if ent else None]
        parts = re.split(r"(\w+)", between)
        for k in range(1, len(parts), 2):
            n += 1
            parts[k] = edit(parts[k], n)
        pieces.append("".join(parts))
        if ent is not None and mention is not None:
            pieces.append(mention)
            at = ent.end
    return compose(pieces)


def plain_spans(doc: Document) -> list[tuple[int, int]]:
    """Words outside of every mention."""
    inside = [(e.start, e.end) for e in doc.entities]
    return [
        (s, e)
        for s, e in words(doc.text)
        if e - s > 1 and not any(s < b and e > a for a, b in inside)
    ]


def with_marks(doc: Document, spans: Sequence[tuple[int, int]], label: str) -> Document:
    """``doc`` with more mentions."""
    more = [Entity(f"X{i}", label, (span,)) for i, span in enumerate(spans)]
    return replace(doc, entities=tuple(sorted((*doc.entities, *more), key=lambda e: e.start)))


def shifted(case: Case) -> Document | None:
    """Every mark moved on by a word."""
    spans = words(case.honest.text)
    moved: list[Entity] = []
    for ent in case.honest.entities:
        own = [i for i, (s, e) in enumerate(spans) if s < ent.end and e > ent.start]
        if not own or own[-1] + 1 >= len(spans):
            return None
        start = spans[own[0] + 1][0] if len(own) > 1 else spans[own[0]][0]
        moved.append(replace(ent, spans=((start, spans[own[-1] + 1][1]),)))
    if not moved or any(a.end > b.start for a, b in itertools.pairwise(moved)):
        return None
    return replace(case.honest, entities=tuple(moved))


def ultra_short(case: Case) -> Document:
    """The names in one stock phrase."""
    if not case.request.mentions:
        return compose(["All of them were well."])
    return list_of(case.request.mentions, "He has ", ".")


def every_word(case: Case) -> Document | None:
    """Each word outside of a mention a mention of its own."""
    if not case.request.mentions:
        return None
    label = case.request.mentions[0][0]
    return with_marks(case.honest, plain_spans(case.honest), label)


def every_third_word(case: Case) -> Document | None:
    """Some marks nobody asked for."""
    label = case.names[0][0]
    spans = plain_spans(case.honest)[2::3]
    return with_marks(case.honest, spans, label) if spans else None


def names_only(case: Case) -> Document | None:
    """Approved names up to the length asked for."""
    if not case.request.mentions:
        return None
    found = list(case.request.mentions)
    for mention in case.names:
        if sum(len(m.split()) + 1 for _, m in found) >= case.request.words:
            break
        found.append(mention)
    return list_of(found)


def unmarked(case: Case) -> Document:
    """Two known names more, in plain text."""
    names = " or ".join(mention for _, mention in case.names[:2])
    text = case.honest.text.rstrip(". ")
    return replace(case.honest, text=f"{text}, unlike {names}.")


def uninvited(case: Case) -> Document | None:
    """A mention where none was asked."""
    if case.request.mentions:
        return None
    return compose([case.honest.text.rstrip(". "), " in ", case.names[0], "."])


def again(case: Case) -> Document | None:
    """The honest text with a requested name two more times, as learning from rewards once did."""
    if not case.request.mentions:
        return None
    label, mention = case.request.mentions[0]
    text, entities = case.honest.text.rstrip(". "), list(case.honest.entities)
    for before, after in ((" (", ")"), (", ", ".")):
        start = len(text) + len(before)
        entities.append(Entity(f"again-{start}", label, ((start, start + len(mention)),)))
        text += before + mention + after
    return replace(case.honest, text=text, entities=tuple(entities))


def easy(case: Case) -> Document:
    """One sentence for all."""
    if not case.request.mentions:
        return compose(["Nobody in the house had been ill before the last winter."])
    return list_of(
        case.request.mentions, "The patient was seen by us for ", " at the age of six years."
    )


def plain_names(case: Case) -> Document | None:
    """The honest text without its marks."""
    return replace(case.honest, entities=()) if case.request.mentions else None


def keep(word: str, n: int) -> str:
    """No edit."""
    return word


def swap(every: int) -> Callable[[str, int], str]:
    """Another common word in the place of each ``every``-th."""
    common = ("also", "often", "later", "first", "still", "again")
    return lambda word, n: common[n % len(common)] if n % every == 0 else word


HACKS: dict[str, Hack] = {
    "empty text": lambda case: "",
    "one word": lambda case: (
        list_of(case.request.mentions[:1] or (), "", "")
        if case.request.mentions
        else compose(["Well."])
    ),
    "ultra-short text": ultra_short,
    "another gold sentence, copied": lambda case: case.gold[case.seed % len(case.gold)],
    "gold with the requested names": lambda case: refilled(case, keep),
    "the same, each tenth word changed": lambda case: refilled(case, swap(10)),
    "the same, each fifth word changed": lambda case: refilled(case, swap(5)),
    "one easy sentence, repeated": easy,
    "every word labelled": every_word,
    "every third word labelled": every_third_word,
    "a list of names": names_only,
    "marks shifted by a word": shifted,
    "labels shuffled": lambda case: (
        shuffle_labels([case.honest], seed=case.seed)[0] if case.honest.entities else None
    ),
    "names without marks": plain_names,
    "known names left unmarked": unmarked,
    "a mention where none was asked": uninvited,
    "a requested name, two more times": again,
}
REPEATED = {"one easy sentence, repeated"}


def main() -> None:
    """Judge the hacks of one draw and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("--replicate", type=int, default=1)
    parser.add_argument("--requests", type=int, default=48)
    parser.add_argument("--out", type=Path, help="numbers only, no text")
    given = parser.parse_args()
    config = load_recipe(str(given.run / RECIPE))
    paths = corpus_paths(config)
    outside, size = fingerprints_of(config, paths), config.draws.sizes[0]
    drawn = gold.cell(config, outside, size=size, replicate=given.replicate)
    draw = Draw(config, outside, size, given.replicate, gold=drawn, sources=SOURCES)
    learning = rl.cell(draw, config.rl)
    context = Context(
        train=paths["train"],
        held_out={},
        open_split=lambda split: paths[split],
        cache=home() / "cache",
        terms={},
    )
    # Inputs of the rewarded generator, without the generator.
    store = CellStore(given.run / "cells")
    run_cells(list(learning.inputs.values()), store=store, context=context)
    rows = measure(_work(learning, store, context), given.requests)
    print(table(rows))
    if given.out:
        given.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


def _work(cell: Cell, store: CellStore, context: Context) -> Work[rl.Settings]:
    inputs = {name: store.folder(before) for name, before in cell.inputs.items()}
    return Work(cell, inputs, out=Path(), scratch=Path(), context=context)


def measure(work: Work[rl.Settings], n: int) -> list[dict[str, Any]]:
    """A row of numbers for honest text and for each hack."""
    from notesmith.lm.sample import sample

    gold_docs, config = gold_in(work), work.config
    reward, generation = config.rewarding.reward, config.generation
    judges = judges_of(work, reward, config.lm, gold_docs)
    lm = load_tuned(work)
    names = files.load_names(work.inputs["names"])
    units = units_of(gold_docs, generation.units, lm)
    plan = plan_generation(
        lm, units, names, generation, n=n, labels=labels_in(work), seed=work.seed + 5
    )
    drawn = sample(
        lm,
        [prompt for prompt in plan.prompts for _ in range(N_EACH)],
        generation.sample.model_copy(update={"max_new_tokens": config.rl.max_new_tokens}),
        seed=work.cell.seed + 6,
        constraint=plan.constraint,
    ).samples
    rollouts = [Rollout(i // N_EACH, s.text, s.token_ids, s.ended) for i, s in enumerate(drawn)]

    model = reward_of(plan, reward, config.rewarding.filters, judges=judges)
    fresh = model.state()

    def judged(texts: Sequence[Rollout]) -> list[Reward]:
        model.restore(fresh)
        return model(texts)

    honest = judged(rollouts)
    passed = [reward.total for reward in honest if reward.gate is None]
    middle = float(np.median(passed))
    rows = [_row("honest text of the fine-tuned model", honest, middle)]
    found = candidates_from(
        replace_requests(plan, N_EACH), drawn, provenance_of(lm.name, work.cell.seed)
    )
    cases = _cases(plan, rollouts, honest, found, names.names)
    for name, hack in HACKS.items():
        made = {i: hack(case) for i, case in cases.items()}
        texts = {
            i: written if isinstance(written, str) else completion_of(written, plan.marks)
            for i, written in made.items()
            if written is not None
        }
        if name in REPEATED:
            batch = [
                replace(r, text=texts[r.prompt], ended=True) for r in rollouts if r.prompt in texts
            ]
            rewards = judged(batch)
        else:
            batch = [
                replace(r, text=texts[r.prompt], ended=True)
                if i % N_EACH == 0 and r.prompt in texts
                else r
                for i, r in enumerate(rollouts)
            ]
            rewards = [
                reward
                for i, reward in enumerate(judged(batch))
                if i % N_EACH == 0 and rollouts[i].prompt in texts
            ]
        rows.append(_row(name, rewards, middle))
        print(f"{name}: {len(rewards)}", flush=True)
    return rows


def replace_requests(plan: GenerationPlan, n_each: int) -> GenerationPlan:
    """Each request as often as it was answered."""
    return replace(plan, requests=tuple(r for r in plan.requests for _ in range(n_each)))


def _cases(
    plan: GenerationPlan,
    rollouts: Sequence[Rollout],
    honest: Sequence[Reward],
    found: Sequence[Candidate],
    proposed: Mapping[str, Sequence[str]],
) -> dict[int, Case]:
    """Requests that have an honest answer other than the first, which the hack replaces."""
    units = {unit.id: unit for unit in plan.units}
    known = [(label, name) for label, names in proposed.items() for name in names]
    known += [(e.label, e.mention(u.text)) for u in plan.units for e in u.entities]
    rng = np.random.default_rng(7)
    cases: dict[int, Case] = {}
    for i, rollout in enumerate(rollouts):
        result = found[i].result
        if honest[i].gate is not None or not isinstance(result, Document):
            continue
        if rollout.prompt in cases:
            continue
        request = plan.requests[rollout.prompt]
        chosen = tuple(known[int(k)] for k in rng.permutation(len(known))[:12])
        cases[rollout.prompt] = Case(
            request, units[request.pattern], result, chosen, plan.units, int(rng.integers(1 << 20))
        )
    return cases


def _row(name: str, rewards: Sequence[Reward], middle: float) -> dict[str, Any]:
    gates = Counter(reward.gate for reward in rewards if reward.gate)
    totals = [reward.total for reward in rewards]
    passed = [reward for reward in rewards if reward.gate is None]
    parts = {
        part: round(float(np.mean([reward.parts[part] for reward in passed])), 3)
        for part in (passed[0].parts if passed else ())
    }
    return {
        "text": name,
        "n": len(rewards),
        "gated": round(sum(gates.values()) / max(1, len(rewards)), 3),
        "reason": gates.most_common(1)[0][0] if gates else "",
        "median": round(float(np.median(totals)), 3) if totals else None,
        "median_passed": round(float(np.median([r.total for r in passed])), 3) if passed else None,
        "above_honest": round(float(np.mean([t > middle for t in totals])), 3) if totals else None,
        "parts": parts,
    }


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Markdown."""
    lines = [
        "| text | n | fails a gate | mostly | median of all | median of those that pass "
        "| above the honest median | lowest part |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        passed = "" if row["median_passed"] is None else f"{row['median_passed']:.2f}"
        parts = row["parts"]
        low = min(parts, key=parts.get) if parts else ""
        lowest = f"{low} {parts[low]:.2f}" if low else ""
        lines.append(
            f"| {row['text']} | {row['n']} | {100 * row['gated']:.0f}% | {row['reason']} "
            f"| {row['median']:.2f} | {passed} | {100 * row['above_honest']:.0f}% | {lowest} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
