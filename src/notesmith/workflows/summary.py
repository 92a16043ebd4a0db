"""The result of a synthesis in numbers without text, and the dataset card made from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from notesmith.config.fields import Config
from notesmith.config.recipe import RecipeConfig
from notesmith.document import Document, labels_of
from notesmith.experiment.artefacts import load_candidates, load_docs
from notesmith.experiment.graph import Cell
from notesmith.experiment.machine import machine, versions
from notesmith.experiment.stages import filtered, rl
from notesmith.experiment.stages.common import describe
from notesmith.experiment.store import CellStore
from notesmith.filters.candidate import Candidate
from notesmith.filters.rules import asked_and_marked
from notesmith.findings import Deciding, LearningCurve, Power
from notesmith.report.card import CardFacts, dataset_card
from notesmith.report.words import plural
from notesmith.results import Finished, Machine, MadeText, Results

_OTHER_GOLD = (
    "The model was tuned before, on documents other than those given. Text that repeats one of "
    "those it was tuned on is not detected, unless they were held out."
)


class LabelCount(Config):
    """Numbers of mentions of a label: requested, requested but missing, and in all kept text."""

    label: str
    requested: int
    missing: int
    kept: int


class Summary(Config):
    """Counts of a synthesis.

    ``asked``, ``kept`` and ``dropped`` count texts. In ``labels``, requested and missing mentions
    are counted in all texts, including dropped ones. ``new_names`` counts distinct mentions in kept
    text that gold lacks. ``steered`` holds the numbers for listed concepts and quotas, by label.
    ``seconds`` is the computing time.
    """

    asked: int
    kept: int
    dropped: dict[str, int]
    labels: tuple[LabelCount, ...]
    steered: dict[str, dict[str, int]]
    names: int
    new_names: int
    words: int
    tokens: int
    seconds: float


def summary_of(target: Cell, store: CellStore) -> Summary:
    """The counts of a finished cell of the filter and of the cells that it reads."""
    sampled = target.inputs["candidates"]
    measured = store.metrics_of(filtered.STAGE, target)
    assert measured is not None, target.title
    kept = load_docs(store.folder(target))
    gold = load_docs(store.folder(target.inputs["gold"]))
    return Summary(
        asked=measured.asked,
        kept=measured.kept,
        dropped=measured.dropped,
        labels=_by_label(load_candidates(store.folder(sampled)), kept, labels_of(gold)),
        steered=measured.coverage,
        names=measured.names,
        new_names=measured.new_names,
        words=measured.words,
        tokens=found.tokens if (found := store.metrics(sampled)) else 0,
        seconds=sum(m.seconds for cell in target.walk() if (m := store.metrics(cell))),
    )


def _by_label(
    candidates: Sequence[Candidate], kept: Sequence[Document], labels: Sequence[str]
) -> tuple[LabelCount, ...]:
    requested: Counter[str] = Counter()
    missing: Counter[str] = Counter()
    for candidate in candidates:
        doc = candidate.result if isinstance(candidate.result, Document) else Document("-", "")
        asked, marked = asked_and_marked(doc, candidate.requested)
        for pair, n in asked.items():
            requested[pair[0]] += n
            missing[pair[0]] += max(0, n - marked[pair])
    found = Counter(ent.label for doc in kept for ent in doc.entities)
    return tuple(
        LabelCount(label=x, requested=requested[x], missing=missing[x], kept=found[x])
        for x in labels
    )


def card_of(
    config: RecipeConfig,
    target: Cell,
    store: CellStore,
    summary: Summary,
    *,
    created: str,
    n_held_out: int,
    tuned_on: int | None = None,
    is_of_other_gold: bool = False,
) -> str:
    """The dataset card of made text on which no student was scored.

    ``tuned_on`` is the number of documents that a saved generator was tuned on, and
    ``is_of_other_gold`` whether they were other documents than these.
    """
    gold = load_docs(store.folder(target.inputs["gold"]))
    found = [m for cell in target.walk() if (m := store.metrics(cell))]
    lm = next((m.lm for m in found if m.lm is not None), None)
    rewarded = any(cell.stage == rl.STAGE for cell in target.walk())
    n_tuned_on = len(gold) if tuned_on is None else tuned_on
    if n_held_out:
        files = plural(n_held_out, "file")
        compared = f"Text that repeats a document that was held out ({files}) was dropped."
    elif is_of_other_gold:
        compared = "No document was held out: the text was compared with the documents given alone."
    else:
        compared = (
            "No document was held out: the text was compared with the documents that the model was "
            "tuned on, and may repeat those of a test set by chance."
        )
    results = Results(
        split="",
        comparator="",
        candidate=None,
        labels=labels_of(gold),
        sizes=(len(gold),),
        main_size=len(gold),
        confidence=config.evaluate.confidence,
        resamples=config.evaluate.resamples,
        minutes_per_note=None,
        deciding=Deciding(split="", reason="", n_documents=0, n_test_documents=0),
        notices=(
            compared,
            *((_OTHER_GOLD,) if is_of_other_gold else ()),
            *(("The model learnt from rewards after fine-tuning.",) if rewarded else ()),
        ),
        arms=(),
        comparisons=(),
        learning_curve=LearningCurve(arm="", scored_on="", sizes=(), f1=()),
        power=Power(scored_on="", n_documents=0),
        recipe=config.name,
        created=created,
        kind=config.corpus.kind,
        corpus={"train": describe(gold)},
        made=(
            MadeText(
                size=n_tuned_on,
                replicate=0,
                asked=summary.asked,
                kept=summary.kept,
                dropped=summary.dropped,
                new_names=summary.new_names,
                tokens=summary.tokens,
                seconds=summary.seconds,
            ),
        ),
        rl=(),
        stages=(),
        varied=(),
        seal=None,
        versions=versions(),
        machine=Machine.model_validate(machine()),
        lm=lm,
        encoder=None,
        finished=Finished(scored=0, planned=0),
        config=config,
    )
    return dataset_card(results, CardFacts())
