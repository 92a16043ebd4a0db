"""What a run found and what it took: ``results.json``, written and read by the same classes.

There is no place for text of notes: a file with a key that is not here is refused. ``findings``
has the part that follows from scores.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path, PurePath
from typing import Annotated, Any, Self

from pydantic import AfterValidator, ValidationError, field_serializer

from notesmith.config.recipe import RecipeConfig
from notesmith.errors import CorpusError, StageError
from notesmith.files.checksums import CHECKSUM, dumps_checked, loads_checked
from notesmith.files.write import atomic_write_text, read_regular
from notesmith.findings import Findings, Record

RESULTS = "results.json"
SCHEMA = 3


def without_folders(words: str) -> str:
    """Return the last part of a path that tells folders, and anything else as it is.

    A path tells how a machine and its users are named, which results need not carry.
    """
    tells = words.startswith(("/", "~", "./", "../", "\\\\")) or words[1:3] in (":\\", ":/")
    return PurePath(words.replace("\\", "/")).name if tells else words


class CorpusCounts(Record):
    """How large a part of the corpus is."""

    documents: int
    sentences: int
    entities: int


class MadeText(Record):
    """What one generator made in one draw.

    ``source`` is the arm that stands for the generator, empty where there is one generator.
    ``unseen_test_mentions_covered`` is the share, 0 to 1, of scored mentions unseen in gold that
    stand in the text, ``…_proposed`` of those among the names that were proposed.
    """

    size: int
    replicate: int
    source: str = ""
    asked: int
    kept: int
    dropped: dict[str, int]
    entities: int | None = None
    masked: int | None = None
    names: int | None = None
    new_names: int | None = None
    words: int | None = None
    requested_mentions: int | None = None
    missing_mentions: int | None = None
    approved_names: int | None = None
    tokens: int
    seconds: float
    unseen_test_mentions_covered: float | None = None
    unseen_test_mentions_proposed: float | None = None


_QUANTITY = re.compile(
    r"(reward|pass_ratio|length|kl|part_[a-z][a-z_]{0,40}|drift_(?!asked_)[a-z][a-z_]{0,40})"
    # Looks at prompts kept apart; methods that learn round by round know their KL only there.
    r"|held_out_reward|held_out_kl"
)


class RlRun(Record):
    """How one generator learnt from rewards.

    ``history`` holds numbers by name, each row with its ``step``; step 0 is the fine-tuned model.
    ``stopped`` names what collapsed, if anything.
    """

    arm: str
    size: int
    replicate: int
    method: str
    placebo: bool
    steps: int
    best_step: int
    stopped: str | None
    sampled_tokens: int
    tokens: int
    seconds: float
    history: tuple[dict[str, float | None], ...]

    @property
    def series(self) -> dict[str, tuple[tuple[float, float], ...]]:
        """(step, value) pairs by quantity, of the quantities that pages show."""
        found: dict[str, list[tuple[float, float]]] = {}
        for row in self.history:
            step = row.get("step")
            for name, value in row.items() if step is not None else ():
                if step is None or value is None or not math.isfinite(value):
                    continue
                if _QUANTITY.fullmatch(name):
                    found.setdefault(name, []).append((step, value))
        return {name: tuple(pairs) for name, pairs in found.items()}

    def look(self, name: str, step: int) -> float | None:
        """The quantity ``held_out_NAME`` at ``step``, where it was measured."""
        return dict(self.series.get(f"held_out_{name}", ())).get(float(step))


class AdaptedEncoder(Record):
    """How one encoder read text without labels in one draw, before students began from it.

    ``arms`` are those of the students. Texts are counted by where they stand: ``notes`` without
    labels of the draw, its ``gold`` documents, and notes of a ``file`` besides. ``tokens`` are word
    pieces learnt from, each counted as often as it was seen. The losses are of masked words, in
    nats, on the texts that were held out for this.
    """

    arms: tuple[str, ...]
    size: int
    replicate: int
    notes: int
    gold: int
    file: int
    held_out: int
    tokens: int
    seconds: float
    loss_before: float
    loss_after: float


class SilverLabels(Record):
    """What the annotators of one arm made of the notes of one draw, and how right it was.

    Notes were ``left_out`` that repeat a labelled or held-out document or its patient. ``mentions``
    are those found, by label, ``confidence`` is their mean score, and ``doubtful`` the share of
    words of which the annotators were not sure; both from 0 to 1. ``answers`` are those of language
    models, ``unusable`` what in them could not be used, by reason. Of ``known`` notes the labels
    are known: on these, strict scores in points (precision, recall, F1), all and by label, and the
    expected calibration error of words, from 0 to 1.
    """

    arm: str
    size: int
    replicate: int
    notes: int
    left_out: int
    mentions: dict[str, int]
    confidence: float
    doubtful: float
    answers: int
    unusable: dict[str, int]
    known: int
    scores: tuple[float, float, float] | None
    by_label: dict[str, tuple[float, float, float]]
    calibration_error: float | None


class MinedNames(Record):
    """The names that an arm took from notes in one draw, and how many are mentions there.

    Of ``names`` in notes whose labels are known, ``right`` are a mention of their label.
    ``precision`` and its lower bound ``low`` (Wilson) are in points, and so is ``unseen_covered``,
    the share of mentions that gold lacks which are among the names, in other documents of train.
    """

    arm: str
    size: int
    replicate: int
    names: int
    right: int
    precision: float
    low: float
    unseen_covered: float


class StageCost(Record):
    """What one stage took in all; ``uses_lm`` where its work needs the language model."""

    stage: str
    uses_lm: bool
    cells: int
    seconds: float
    tokens: int
    tokens_per_second: float | None
    peak_memory_bytes: int | None = None


class SealFacts(Record):
    """The seal of the test set; ``opened`` counts plans, ``elsewhere`` those of other folders.

    ``repeated`` are run folders of this very plan, ``changed`` names what was edited in the recipe
    since, ``notable`` must be read before the figures, ``unseen`` is what is not counted.
    """

    hash: str
    opened: int
    elsewhere: int = 0
    repeated: int = 0
    changed: tuple[str, ...] = ()
    notable: tuple[str, ...] = ()
    unseen: str = ""


class Machine(Record):
    """The kind of machine that ran it, never its name."""

    cores: int
    system: str | None = None
    cpu: str | None = None
    memory_gib: float | None = None


class Model(Record):
    """A model, its licence and further terms."""

    name: Annotated[str, AfterValidator(without_folders)]
    licence: str | None = None
    terms: str | None = None
    fingerprint: str | None = None
    parameters: int | None = None


class Finished(Record):
    """How many of the planned scores are in."""

    scored: int
    planned: int


class Results(Findings):
    """Everything a run found and what it took; ``results.json`` of a run folder.

    ``varied`` says what differs between replicates. ``config`` is the resolved recipe, its paths
    cut to their last part.
    """

    recipe: str
    created: str
    kind: str
    corpus: dict[str, CorpusCounts]
    made: tuple[MadeText, ...]
    rl: tuple[RlRun, ...]
    adapted: tuple[AdaptedEncoder, ...] = ()
    silver: tuple[SilverLabels, ...] = ()
    mined: tuple[MinedNames, ...] = ()
    stages: tuple[StageCost, ...]
    varied: tuple[str, ...]
    seal: SealFacts | None
    versions: dict[str, str]
    machine: Machine
    lm: Model | None
    encoder: Model | None
    finished: Finished
    config: RecipeConfig

    @field_serializer("config")
    def _without_none(self, config: RecipeConfig) -> dict[str, Any]:
        return config.model_dump(mode="json", exclude_none=True)

    @property
    def served(self) -> Model | None:
        """The model on a server that wrote, of which no more than its name is known."""
        name = self.config.sample.server_model
        return Model(name=name, licence="unknown") if name else None

    @property
    def ran(self) -> frozenset[str]:
        """Stages of which at least one cell was finished."""
        return frozenset(stage.stage for stage in self.stages if stage.cells)

    @property
    def used_lm(self) -> bool:
        """Whether a stage that was finished needed the language model."""
        return any(stage.uses_lm for stage in self.stages if stage.cells)

    @property
    def is_unfinished(self) -> bool:
        """Whether cells of the plan were not scored yet."""
        return self.finished.scored < self.finished.planned

    @property
    def parts(self) -> dict[str, CorpusCounts]:
        """The parts of the corpus that a recipe names."""
        return {part: n for part, n in self.corpus.items() if part in ("train", "dev", "test")}

    def write(self, folder: Path) -> Path:
        """Write ``results.json`` into ``folder``, with the checksum of its content."""
        value = {"schema": SCHEMA, **self.model_dump(mode="json")}
        path = folder / RESULTS
        atomic_write_text(path, dumps_checked(value))
        return path

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read ``results.json`` of a run folder.

        Raises:
            StageError: there is none, it is damaged, or another version wrote it.
        """
        path = folder / RESULTS
        remedy = "write it again with notesmith report"
        try:
            data = read_regular(path)
            value = json.loads(data)
        except (FileNotFoundError, NotADirectoryError):
            raise StageError(f"{folder}: no {RESULTS}; finish the run first") from None
        except (ValueError, RecursionError) as error:
            if isinstance(error, CorpusError):
                raise
            raise StageError(f"{path}: is not JSON; {remedy}") from None
        if not isinstance(value, dict):
            raise StageError(f"{path}: holds no results; {remedy}")
        if value.pop("schema", None) != SCHEMA:
            raise StageError(f"{path}: is of another version of notesmith; {remedy}")
        if loads_checked(data) is None:
            raise StageError(
                f"{path}: is damaged or was changed (its checksum is of other content); {remedy}"
            )
        del value[CHECKSUM]
        try:
            return cls.model_validate(value)
        except ValidationError as error:
            # Their number alone: an error's own words could quote a value.
            raise StageError(
                f"{path}: {error.error_count()} values are not as this version of notesmith "
                f"writes them; {remedy}"
            ) from None
