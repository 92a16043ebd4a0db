"""The stage of a language model that labels notes: tuned on the draw's gold, or shown some of it.

An interrupted cell goes on from the answers that were drawn before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from notesmith.annotation.language_model import LmAnnotator, check_served
from notesmith.annotation.mentions import scores_of_mentions
from notesmith.annotation.prompt import FormName
from notesmith.annotation.tune import choose_shots, units_of
from notesmith.config.annotators import LmAnnotateConfig
from notesmith.config.fields import Config, part_of
from notesmith.config.generator import LmConfig, UnitConfig
from notesmith.config.recipe import ArmConfig
from notesmith.errors import StageError
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import FORWARD, Amount, CorpusStats
from notesmith.experiment.draw import Annotator, Draw
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages import annotator, notes
from notesmith.experiment.stages.annotator import Asking, answer_ratio, sft_of
from notesmith.experiment.stages.common import about, gold_in, load_base, load_tuned
from notesmith.experiment.stages.teachers import NOTES, keep_labelled

if TYPE_CHECKING:
    from notesmith.lm.backends.server import ServerBackend

# What of [annotate.lm] says how answers are drawn; the rest says what is asked and learnt.
_DRAWN = (
    "constrain",
    "confidence",
    "samples",
    "temperature",
    "max_new_tokens",
    "batch_size",
)


class Settings(Config):
    """What is asked, how notes are cut, and how answers are drawn.

    ``shots`` gold examples are shown to ``base``; 0 and None for a tuned model. ``server_model``
    answers in its place, on a server.
    """

    asking: Asking
    units: UnitConfig
    drawn: LmAnnotateConfig
    shots: int = 0
    base: LmConfig | None = None
    server_model: str | None = None


class Measured(Metrics):
    """What was read, drawn and could not be used.

    ``units`` are texts read, equal ones once; ``resumed`` of the ``answers`` are of an earlier
    attempt. ``failures`` and ``tolerated`` are as in ``annotation.language_model.Labelled``,
    ``misfits`` mentions that do not fit the words, by reason. ``mentions`` are those found, by
    label.
    """

    documents: int
    units: int
    answers: int
    resumed: int
    mentions: dict[str, int]
    failures: dict[str, int]
    tolerated: dict[str, int]
    misfits: dict[str, int]
    tokens: int
    sampling_seconds: float

    @property
    def working_seconds(self) -> float:
        """Seconds of sampling."""
        return self.sampling_seconds


def tuned_cell(draw: Draw, arm: ArmConfig, found: Cell | None = None, *, form: FormName) -> Cell:
    """What the tuned annotator that answers in ``form`` says of the notes in ``found``.

    Without ``found`` it is a cell to read notes with that stand elsewhere (see ``open_reader``).
    """
    return draw.cell(
        STAGE,
        _settings(draw, arm, form),
        inputs={
            "gold": draw.gold,
            **({NOTES: found} if found else {}),
            "model": annotator.cell(draw, arm, form),
        },
        arm=arm.name,
    )


def prompted_cell(draw: Draw, arm: ArmConfig, found: Cell | None = None) -> Cell:
    """The same of the base model, or one on a server, that is shown gold examples.

    Raises:
        ConfigError: a server is asked for what it cannot do.
    """
    config = draw.config
    if config.sample.server_model is not None:
        check_served(arm.annotate.lm)
    settings = _settings(draw, arm, arm.annotate.lm.form).model_copy(
        update={
            "shots": arm.annotate.lm.shots,
            "base": config.lm,
            "server_model": config.sample.server_model,
        }
    )
    return draw.cell(
        STAGE,
        settings,
        inputs={"gold": draw.gold, **({NOTES: found} if found else {})},
        fingerprints={"lm": draw.outside.lm},
        arm=arm.name,
    )


def _settings(draw: Draw, arm: ArmConfig, form: FormName) -> Settings:
    lm = arm.annotate.lm
    return Settings(
        asking=Asking.of(draw, arm, form),
        units=part_of(sft_of(draw, arm), UnitConfig),
        drawn=LmAnnotateConfig(**{name: getattr(lm, name) for name in _DRAWN}),
    )


def open_reader(work: Work[Settings]) -> LmAnnotator:
    """The model of a cell, ready to read notes."""
    config, gold = work.config, gold_in(work)
    lm = load_tuned(work) if config.base is None else load_base(work, config.base, gold)
    # A base model never saw the reserved tokens, so its marks are plain tags.
    form = config.asking.form_for(work, reserved=() if config.shots else lm.reserved)
    shots = ""
    if config.shots:
        units = units_of(gold, config.units, lm)
        shots = choose_shots(units, form, n=config.shots, seed=work.seed)
    return LmAnnotator(
        lm,
        form,
        config.units,
        config.drawn,
        shots=shots,
        server=_server(work),
        seed=work.seed,
    )


def run(work: Work[Settings]) -> Measured:
    """Let the model read the notes; an interrupted run goes on."""
    config, docs = work.config, files.load_docs(work.inputs[NOTES])
    reader = open_reader(work)
    log = files.SampleLog(work.scratch / "samples.jsonl")
    n_before = len(log.finished)
    made = reader.label(
        docs, on_progress=work.on_progress, finished=log.finished, on_samples=log.append
    )
    misfits: Counter[str] = Counter()
    labels = reader.form.marks.labels
    scores = [scores_of_mentions(doc, labels, counts=misfits) for doc in made.docs]
    keep_labelled(work, made.docs, scores)
    found = Counter(ent.label for doc in made.docs for ent in doc.entities)
    return Measured(
        documents=len(docs),
        units=made.units,
        answers=made.answers,
        resumed=n_before,
        mentions=dict(sorted(found.items())),
        failures=dict(sorted(made.failures.items())),
        tolerated=dict(sorted(made.tolerated.items())),
        misfits=dict(misfits),
        tokens=made.tokens,
        sampling_seconds=made.seconds,
        lm=about(reader.lm) if config.shots and reader.server is None else None,
    )


def _server(work: Work[Settings]) -> ServerBackend | None:
    """The server that answers, where the recipe names one; None where the model here does."""
    from notesmith.lm.backends.server import ServerBackend, key_from_environment

    model = work.config.server_model
    if model is None:
        return None
    if (endpoint := work.context.server) is None:
        raise StageError("no server was allowed to be sent prompts")
    # An answer ends at an empty line, behind which a model that saw examples writes another.
    return ServerBackend(endpoint, model, api_key=key_from_environment(), stop="\n\n")


def cost(config: Settings, cell: Cell, facts: CorpusStats) -> Amount:
    """Answers about the notes; to score their tokens they are read once more."""
    words = notes.expected(cell.inputs[NOTES], facts).words
    n_each = config.drawn.samples if config.drawn.confidence == "agreement" else 1
    answers = words * answer_ratio(config.asking, facts)
    is_scored = config.drawn.confidence == "tokens"
    scored = (words + answers) * FORWARD if is_scored else 0.0
    return Amount(sampled=n_each * answers, trained=scored, lms=1)


STAGE = Stage(
    "lm-labels", version=1, config=Settings, metrics=Measured, run=run, cost=cost, peak="sampling"
)
TUNED = ("lm-json", "lm-inline")
"""The annotators whose language model is tuned on gold."""
READERS: Mapping[str, Callable[[Draw, ArmConfig], Cell]] = {
    "lm-json": partial(tuned_cell, form="json"),
    "lm-inline": partial(tuned_cell, form="inline"),
    "prompted": prompted_cell,
}
"""By annotator, the cell to read notes with that stand elsewhere."""
ANNOTATORS = (
    Annotator(
        "lm-json",
        "a language model tuned on gold, as JSON",
        partial(tuned_cell, form="json"),
        needs_lm=True,
    ),
    Annotator(
        "lm-inline",
        "a language model tuned on gold, as marked text",
        partial(tuned_cell, form="inline"),
        needs_lm=True,
    ),
    Annotator(
        "prompted",
        "a language model that is shown gold examples",
        prompted_cell,
        needs_lm=True,
        is_served=True,
    ),
)
