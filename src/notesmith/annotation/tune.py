"""Teach a language model to annotate: gold's units with their mentions, and those without."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from notesmith.annotation.prompt import Form, FormName, shots_of, spans_of
from notesmith.config.generator import SftConfig, UnitConfig
from notesmith.corpus.splits import hold_out
from notesmith.document import Document, attributes_in
from notesmith.errors import StageError
from notesmith.markup import Marks
from notesmith.markup_json import CONTEXT_WORDS
from notesmith.progress import OnProgress, silent
from notesmith.segments import cut

if TYPE_CHECKING:
    from notesmith.lm.load import LanguageModel
    from notesmith.lm.training.sft import Example, SftResult


@dataclass(frozen=True, slots=True)
class Tuned:
    """A tuned annotator.

    Attributes:
        sft: the model's folder and how it came about.
        units: gold units that it learnt from, copies included; ``without`` of them hold no mention.
        without: see ``units``.
        flattened: mentions that answers cannot tell as they are, by reason.
    """

    sft: SftResult
    units: int
    without: int
    flattened: Mapping[str, int]


def form_of(
    name: FormName,
    labels: Sequence[str],
    gold: Sequence[Document],
    *,
    unit: str,
    reserved: Sequence[str] = (),
    attributes: Sequence[str] = (),
    context_words: int = CONTEXT_WORDS,
    kind: str = "",
    label_descriptions: Mapping[str, str] | None = None,
) -> Form:
    """How an annotator is asked and answers.

    Args:
        name: of the form.
        labels: that it is to find.
        gold: documents whose mentions tell which values the attributes have.
        unit: what one text is called.
        reserved: tokens that marks may be; none for a model that is not tuned.
        attributes: names of those that it is to find.
        context_words: words beside a mention (JSON).
        kind: what the documents are called.
        label_descriptions: one line on a label, by label.
    """
    known = attributes_in(gold) if attributes else {}
    values = [value for one in attributes for value in known.get(one, ())]
    marks = Marks.fitting(labels, reserved, values)
    return Form(name, marks, unit, kind, label_descriptions or {}, context_words)


def units_of(docs: Sequence[Document], config: UnitConfig, lm: LanguageModel) -> list[Document]:
    """Gold cut into units, those left out of which a part is masked: nobody knows its mentions."""
    return [
        unit
        for doc in docs
        for span in spans_of(doc, config, lm)
        if not (unit := cut(doc, span)).masked
    ]


def examples_of(units: Sequence[Document], form: Form) -> list[Example]:
    """What the model reads and what it shall write, of each unit."""
    from notesmith.lm.training.sft import Example

    return [Example(form.prompt(unit.text), form.answer(unit).text) for unit in units]


def tune(
    lm: LanguageModel,
    gold: Sequence[Document],
    form: Form,
    config: SftConfig,
    *,
    replaced: Sequence[Document] = (),
    out: Path,
    seed: int,
    on_progress: OnProgress = silent,
) -> Tuned:
    """Teach ``lm`` to find the mentions of gold's units.

    Every unit is learnt from, with as many without mentions as gold has, short ones too: notes
    hold such. The loss is of the answer alone.

    Args:
        lm: the base model.
        gold: gold documents; a part is held out for early stopping.
        form: how it is asked and answers.
        config: of the training, and how gold is cut.
        replaced: mention-replaced copies of gold documents; copies of held-out documents are left
            out by their parent's id.
        out: folder that the tuned model is written to.
        seed: of the hold-out and the training.
        on_progress: told of training progress.

    Raises:
        StageError: there is nothing to learn from.
    """
    from notesmith.lm.training.sft import train_sft

    held = hold_out(gold, config.dev_ratio, seed)
    copies = [doc for doc in replaced if not held.intersection(doc.provenance.parents)]
    train = units_of([*(doc for doc in gold if doc.id not in held), *copies], config, lm)
    dev = units_of([doc for doc in gold if doc.id in held], config, lm)
    if not train:
        raise StageError("no gold unit to learn annotating from")
    words = form.marks.in_words() if config.mark_words and form.name == "inline" else {}
    result = train_sft(
        lm,
        examples_of(train, form),
        examples_of(dev, form),
        config,
        out=out,
        seed=seed,
        begin_as={mark: text for mark, text in words.items() if mark in lm.reserved},
        on_progress=on_progress,
    )
    flattened: Counter[str] = Counter()
    for unit in train:
        flattened.update(form.answer(unit).flattened)
    without = sum(not unit.entities for unit in train)
    return Tuned(result, len(train), without, dict(flattened))


def choose_shots(units: Sequence[Document], form: Form, *, n: int, seed: int) -> str:
    """``n`` gold units as examples for a prompt, at least half of them with mentions.

    Raises:
        StageError: there is no unit.
    """
    order = [units[int(i)] for i in np.random.default_rng(seed).permutation(len(units))]
    some = [unit for unit in order if unit.entities][: -(-n // 2)]
    rest = [unit for unit in order if all(unit is not one for one in some)][: n - len(some)]
    chosen = [unit for unit in order if any(unit is one for one in (*some, *rest))]
    if not chosen:
        raise StageError("no gold unit to show")
    return shots_of(form, chosen)
