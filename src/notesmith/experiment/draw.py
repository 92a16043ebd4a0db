"""One draw of gold, from which stages build their cells, and the sources of made documents.

A stage's module has a function ``cell`` that builds its cell for a draw and asks the modules of
other stages for its inputs; a cell that two arms need is the same by its key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from notesmith.config.fields import Config
from notesmith.config.recipe import ArmConfig, RecipeConfig
from notesmith.config.student import NerConfig
from notesmith.experiment.graph import Cell, Stage, seed_for
from notesmith.findings import MadeSource

C = TypeVar("C", bound=Config)

GOLD = "gold"


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Content hashes of what a run reads from outside: corpora, models, term lists.

    ``held_out`` is of documents besides dev and test that made text may not repeat. ``left_out`` is
    of the documents of train and of dev that stand in the parts after them, where some do.
    ``unlabelled`` is of notes that annotators label, ``annotators`` of the lists and taggers that
    label them, by path. ``more_notes`` is of those that encoders read besides.
    """

    train: str
    dev: str = ""
    test: str = ""
    lm: str = ""
    term_lists: str = ""
    concepts: str = ""
    rewards: str = ""
    encoders: Mapping[str, str] = field(default_factory=dict)
    held_out: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    unlabelled: str = ""
    annotators: Mapping[str, str] = field(default_factory=dict)
    more_notes: str = ""

    def of_part(self, name: str) -> dict[str, str]:
        """What is left out of a part; empty where nothing is, so that keys stay what they were."""
        return {"left_out": self.left_out[name]} if name in self.left_out else {}


@dataclass(frozen=True, slots=True)
class Source:
    """Made documents that may join gold: what an arm's ``made`` names.

    Attributes:
        facts: its name in recipes, and what verdicts and pages must know of it.
        cell: builds the cell that holds the documents, for a draw and an arm.
    """

    facts: MadeSource
    cell: Callable[[Draw, ArmConfig], Cell]

    @property
    def name(self) -> str:
        """The name that recipes give it."""
        return self.facts.name

    @property
    def by_generator(self) -> bool:
        """Whether the arm's generator writes it."""
        return self.facts.by == "generator"

    @property
    def by_annotators(self) -> bool:
        """Whether it is notes that the arm's annotators label."""
        return self.facts.by == "annotators"

    @property
    def needs_lm(self) -> bool:
        """Whether the language model writes or proposes something of it."""
        return self.facts.by in ("proposals", "generator")

    @property
    def rank(self) -> int:
        """What it costs beside the others: 1, 2 or 3."""
        return {"rules": 1, "proposals": 2, "annotators": 2, "generator": 3}[self.facts.by]


@dataclass(frozen=True, slots=True)
class Annotator:
    """What labels notes: what ``by`` of [annotate] may name.

    Attributes:
        name: as it stands in recipes.
        words: what labels the notes, as it follows "notes labelled by" in a methods section.
        cell: builds the cell that labels the notes of a cell, for a draw and an arm. It leaves
            ``docs.jsonl`` with the mentions found and ``scores.npz`` with the distribution of each
            word, of all notes in their order.
        needs_lm: whether the language model labels.
        is_served: whether a server labels in its place, where the recipe names one.
    """

    name: str
    words: str
    cell: Callable[[Draw, ArmConfig, Cell], Cell]
    needs_lm: bool = False
    is_served: bool = False


@dataclass(frozen=True, slots=True)
class Draw:
    """The gold of one replicate at one size, or in cross-fit what all folds but one hold of it.

    Attributes:
        config: the recipe.
        outside: content hashes of what comes from outside.
        size: gold documents.
        replicate: from 0.
        gold: the cell that holds the documents.
        sources: what arms may name, by name.
        annotators: what [annotate] may name, by name.
        fold: in cross-fit, the fold that is held out; else -1.
        documents: in cross-fit, the cell with the documents of that fold.
        generator: the cell of a generator that was tuned before, which then writes for all arms.
    """

    config: RecipeConfig
    outside: Fingerprints
    size: int
    replicate: int
    gold: Cell
    sources: Mapping[str, Source]
    annotators: Mapping[str, Annotator] = field(default_factory=dict)
    fold: int = -1
    documents: Cell | None = None
    generator: Cell | None = None

    def cell(
        self,
        stage: Stage[C, Any],
        config: C,
        *,
        inputs: Mapping[str, Cell],
        fingerprints: Mapping[str, str] | None = None,
        seed: int | None = None,
        arm: str = "",
        student: int = 0,
    ) -> Cell:
        """A cell of this draw; its seed is the generator's if none is given."""
        return Cell(
            stage,
            config,
            inputs,
            fingerprints or {},
            self.seed("generator") if seed is None else seed,
            arm=arm,
            size=self.size,
            replicate=self.replicate,
            fold=self.fold,
            student=student,
        )

    def seed(self, purpose: str) -> int:
        """A seed of this draw's own for ``purpose``."""
        own = () if self.fold < 0 else (self.fold,)
        return seed_for(self.config.draws.seed, purpose, self.size, self.replicate, *own)

    def made(self, source: str, arm: ArmConfig) -> Cell:
        """The cell whose documents join gold as ``source`` in ``arm``."""
        return self.sources[source].cell(self, arm)

    def arm(self, name: str) -> ArmConfig:
        """The arm called ``name``."""
        return next(arm for arm in self.config.arm if arm.name == name)

    @property
    def gold_arm(self) -> ArmConfig:
        """The arm that trains on gold alone."""
        return self.arm(GOLD)

    def encoder(self, student: NerConfig) -> dict[str, str]:
        """The fingerprint of a student's encoder."""
        return {"encoder": self.outside.encoders.get(student.encoder, student.encoder)}
