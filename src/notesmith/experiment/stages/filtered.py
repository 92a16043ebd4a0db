"""The stage of filters, and the source that it makes: the generator's kept text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from notesmith.config.corpus import ReadingConfig
from notesmith.config.fields import Config, part_of
from notesmith.config.filters import FilterConfig
from notesmith.config.recipe import ArmConfig
from notesmith.document import Document
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import Draw, Source
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages import sample
from notesmith.experiment.stages.common import folded_mentions, gold_in, read
from notesmith.filters import run as run_filters
from notesmith.findings import MadeSource
from notesmith.overlap import HeldOut
from notesmith.segments import Unit
from notesmith.synthesis.steer import Coverage, coverage_of

_SECONDS = 0.0008


class Settings(Config):
    """What text is dropped for; ``reading`` is how dev and test are read, outside cross-fit."""

    filters: FilterConfig
    reading: ReadingConfig | None = None


class Measured(Metrics):
    """Candidates asked for, kept, and dropped by reason; what stands in those that are kept.

    ``requested_mentions`` and ``missing_mentions`` are of all candidates. ``names`` are distinct
    mentions, ``new_names`` those that gold does not have. Requested attributes are those of
    texts that parse; ``kept_attributes`` those of kept text, by name. ``coverage`` are numbers
    of listed concepts and quotas, by label.
    """

    asked: int
    kept: int
    dropped: dict[str, int]
    requested_mentions: int
    missing_mentions: int
    entities: int
    masked: int
    without_entities: int
    words: int
    names: int
    new_names: int
    requested_attributes: int
    missing_attributes: int
    kept_attributes: dict[str, int]
    coverage: dict[str, dict[str, int]]


def cell(draw: Draw, arm: ArmConfig) -> Cell:
    """What is kept of the text of an arm's generator.

    Text that repeats dev, test or others held out is not; in cross-fit, what repeats a document of
    the fold.
    """
    config = draw.config
    most = sample.times(config.filter.keep_per_gold, arm.amount)
    filters = config.filter.model_copy(update={"keep_per_gold": most})
    inputs = {"gold": draw.gold, "candidates": sample.cell(draw, arm)}
    if draw.documents is not None:
        return draw.cell(
            STAGE, Settings(filters=filters), inputs={**inputs, "documents": draw.documents}
        )
    return draw.cell(
        STAGE,
        Settings(filters=filters, reading=part_of(config.corpus, ReadingConfig)),
        inputs=inputs,
        fingerprints={
            "dev": draw.outside.dev,
            "test": draw.outside.test,
            **draw.outside.held_out,
        },
    )


def run(work: Work[Settings]) -> Measured:
    """Keep or drop each candidate, with a reason; dropped text stays on disk."""
    gold = gold_in(work)
    candidates = files.load_candidates(work.inputs["candidates"])
    result = run_filters(
        candidates, gold, work.config.filters, unit=unit_of(work.cell), held_out=_held_out(work)
    )
    files.save_docs(result.kept, work.out)
    files.save_dropped(result.dropped, work.out)
    asked_for = sample.steering_in(sample_settings(work.cell), work.context)
    coverage = coverage_of(candidates, result.kept, asked_for) if asked_for else []
    if coverage:
        files.save_coverage(coverage, work.out)
    own = folded_mentions(gold)
    made = folded_mentions(result.kept)
    parsed = [c for c in candidates if isinstance(c.result, Document)]
    carried = Counter(a for doc in result.kept for ent in doc.entities for a in ent.attributes)
    return Measured(
        asked=len(candidates),
        kept=len(result.kept),
        dropped={reason: n for reason, n in result.counts.items() if reason != "kept"},
        requested_mentions=sum(len(c.requested) for c in candidates),
        missing_mentions=sum(c.missing for c in candidates),
        entities=sum(len(doc.entities) for doc in result.kept),
        masked=sum(len(doc.masked) for doc in result.kept),
        without_entities=sum(not doc.entities for doc in result.kept),
        words=sum(len(doc.text.split()) for doc in result.kept),
        names=len(made),
        new_names=len(made - own),
        requested_attributes=sum(len(own) for c in parsed for own in c.requested_attributes),
        missing_attributes=sum(c.missing_attributes for c in parsed),
        kept_attributes=dict(sorted(carried.items())),
        coverage=_by_label(coverage),
    )


def _by_label(rows: Sequence[Coverage]) -> dict[str, dict[str, int]]:
    """Numbers of the listed concepts, and of quotas, by label: no concept is named."""
    found: dict[str, Counter[str]] = {}
    for row in rows:
        n = found.setdefault(row.label if row.concept else f"{row.label} (quota)", Counter())
        n.update(asked=row.asked, kept=row.kept, missing=row.missing)
        if row.concept:
            n.update(concepts=1, concepts_kept=row.kept > 0)
    return {name: dict(n) for name, n in found.items()}


def sample_settings(cell: Cell) -> sample.Settings:
    """How the candidates that ``cell`` reads were asked for."""
    return sample.STAGE.config_of(cell.inputs["candidates"])


def unit_of(cell: Cell) -> Unit:
    """What one of the candidates that ``cell`` reads is."""
    return sample_settings(cell).generation.units.unit


def _held_out(work: Work[Settings]) -> HeldOut:
    """Dev and test, or in cross-fit the fold, as all that a filter may ask: does this repeat it?"""
    reading = work.config.reading
    if reading is None:
        return HeldOut.of(doc.text for doc in files.load_docs(work.inputs["documents"]))
    # Others, such as text made earlier, need not be in the format of train, nor be labelled.
    other = reading.model_copy(update={"format": None})
    return HeldOut.of(
        doc.text
        for name, path in work.context.held_out.items()
        for doc in read(
            path, reading if name in ("dev", "test") else other, expect_mentions=False
        ).docs
    )


def cost(config: Settings, cell: Cell, facts: CorpusStats) -> Amount:
    """Seconds for all candidates."""
    return Amount(seconds=0.1 + _SECONDS * sample.n_asked(cell.inputs["candidates"], facts))


STAGE = Stage("filter", version=3, config=Settings, metrics=Measured, run=run, cost=cost)
SOURCE = Source(
    MadeSource(name="synthetic", words="the generator's text", by="generator", is_main=True), cell
)
