"""The cells of one draw: from gold to the score of each arm, every cell built when first needed.

``draw`` → ``names``, ``sft`` (→ ``committee``, ``rl``) → ``sample`` → ``filter`` → ``ner`` →
``score``, and the rivals that need no language model beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from notesmith.config import ArmConfig, Config, NerConfig, RecipeConfig, Source
from notesmith.experiment.cells import Cell, seed_for
from notesmith.experiment.recipes import reinforcement_of, student_of
from notesmith.findings import OUT_OF_DRAW

# Bumped by hand when a stage's results change for the same inputs.
STAGE_VERSION: dict[str, int] = {
    "draw": 1,
    "fold": 1,
    "fold-out": 1,
    "names": 1,
    "sft": 2,
    "committee": 1,
    "rl": 3,
    "sample": 3,
    "filter": 3,
    "unfiltered": 1,
    "relabelled": 1,
    "replaced": 1,
    "replaced-proposed": 1,
    "lwtr": 1,
    "shuffled": 1,
    "synthetic-shuffled-labels": 1,
    "union": 1,
    "thin": 1,
    "ner": 1,
    "score": 1,
    "pool": 2,
    "gather": 1,
    "coverage": 1,
}
# The same for what a text is worth, to all that asks for rewards.
REWARD_VERSION = 2

GOLD = "gold"


def out_of_draw_seed(root: int) -> int:
    """Chooses which train documents are scored out of draw: the same ones for all draws."""
    return seed_for(root, "out-of-draw")


@dataclass(frozen=True, slots=True)
class Sources:
    """Content hashes of what a run reads from outside: corpora, models, term lists."""

    train: str
    dev: str = ""
    test: str = ""
    lm: str = ""
    term_lists: str = ""
    rewards: str = ""
    encoders: Mapping[str, str] = field(default_factory=dict)


def _values(config: Config, *names: str) -> dict[str, Any]:
    return config.model_dump(mode="json", include=set(names) or None, exclude_none=True)


def _times(amount: float, values: dict[str, Any], *names: str) -> dict[str, Any]:
    """``values`` with those of ``names`` multiplied; whole numbers stay whole."""
    if amount == 1:
        return values
    many = {name: values[name] * amount for name in names if name in values}
    kept = {name: round(v) if isinstance(values[name], int) else v for name, v in many.items()}
    return {**values, **kept}


class Draw:
    """Builds the cells of one draw; a cell that two arms need is the same by its key."""

    fold = -1

    def __init__(self, config: RecipeConfig, sources: Sources, size: int, replicate: int) -> None:
        self.config = config
        self.sources = sources
        self.size = size
        self.replicate = replicate
        self.gold = self._cell(
            "draw",
            config={**self._reading, "documents": size},
            sources={"train": sources.train},
            # The same for all sizes, so that a smaller draw is the start of a larger one.
            seed=seed_for(config.draws.seed, "draw", replicate),
        )

    @property
    def _reading(self) -> dict[str, Any]:
        names = ("format", "annotator", "layer", "feature", "label_map", "on_problem")
        return _values(self.config.corpus, *names)

    @property
    def _telling(self) -> dict[str, Any]:
        """What prompts say of the corpus; descriptions are in keys only where they are given."""
        return _values(self.config.corpus, "kind", "label_descriptions")

    def _cell(
        self,
        stage: str,
        *,
        config: Mapping[str, Any],
        inputs: Mapping[str, Cell] | None = None,
        sources: Mapping[str, str] | None = None,
        seed: int | None = None,
        arm: str = "",
        student: int = 0,
    ) -> Cell:
        if seed is None:
            seed = self._seed("generator")
        return Cell(
            stage=stage,
            version=STAGE_VERSION[stage],
            config=config,
            inputs=inputs or {},
            sources=sources or {},
            seed=seed,
            arm=arm,
            size=self.size,
            replicate=self.replicate,
            fold=self.fold,
            student=student,
        )

    def _seed(self, purpose: str) -> int:
        return seed_for(self.config.draws.seed, purpose, self.size, self.replicate)

    def names(self) -> Cell:
        return self._cell(
            "names",
            config={
                "lm": _values(self.config.lm),
                "names": _values(self.config.synthesize.names),
                "kind": self.config.corpus.kind,
            },
            inputs={"gold": self.gold},
            sources={"lm": self.sources.lm, "term_lists": self.sources.term_lists},
        )

    def sft(self) -> Cell:
        synthesize = _values(self.config.synthesize)
        for name in ("units", "units_per_gold", "agreement", "names", "shots"):
            synthesize.pop(name, None)
        return self._cell(
            "sft",
            config={
                "lm": _values(self.config.lm),
                "sft": _values(self.config.sft),
                "synthesize": synthesize,
                **self._telling,
            },
            inputs={"gold": self.gold},
            sources={"lm": self.sources.lm},
        )

    def committee(self) -> Cell:
        """Students that judge what the generator writes, each blind to its own fold of gold."""
        config = self.config
        return self._cell(
            "committee",
            config={
                "ner": _values(config.ner.mentions_only()),
                "members": config.reward.members,
                "augment": _values(config.augment, "copies", "replace_ratio"),
            },
            inputs={"gold": self.gold},
            sources=self._encoder(config.ner),
        )

    def rl(self, changes: Mapping[str, Any]) -> Cell:
        """The fine-tuned generator after learning from rewards."""
        config = self.config
        return self._cell(
            "rl",
            config={
                "rl": _values(reinforcement_of(config, changes)),
                **self._rewarding,
                "lm": _values(config.lm),
                "sft": self._units,
                "synthesize": self._asking,
                "constrain": config.sample.constrain,
                **self._telling,
            },
            inputs={
                "gold": self.gold,
                "names": self.names(),
                "model": self.sft(),
                "committee": self.committee(),
            },
            sources={"lm": self.sources.lm, "rewards": self.sources.rewards},
        )

    @property
    def _rewarding(self) -> dict[str, Any]:
        return {
            "reward": _values(self.config.reward),
            "filter": _values(self.config.filter),
            "reward_version": REWARD_VERSION,
        }

    @property
    def _units(self) -> dict[str, Any]:
        return _values(self.config.sft, "unit", "passage_sentences", "max_unit_tokens")

    @property
    def _asking(self) -> dict[str, Any]:
        asking = _values(self.config.synthesize)
        del asking["shots"]
        return asking

    def candidates(self, arm: ArmConfig) -> Cell:
        """What the arm's generator writes."""
        config = self.config
        asking = _times(arm.amount, self._asking, "units", "units_per_gold")
        more: dict[str, Any] = {}
        inputs = {"gold": self.gold, "names": self.names()}
        sources = self._encoder(config.ner) if config.synthesize.agreement else {}
        if not arm.tuned:
            asking["shots"] = config.synthesize.shots
            more |= {"lm": _values(config.lm)}
            sources = {**sources, "lm": self.sources.lm}
        elif arm.rl is None:
            inputs["model"] = self.sft()
        else:
            inputs["model"] = self.rl(arm.rl)
        if arm.best_of > 1:
            more |= {"best_of": arm.best_of, "lm": _values(config.lm), **self._rewarding}
            inputs["committee"] = self.committee()
            sources = {**sources, "lm": self.sources.lm, "rewards": self.sources.rewards}
        # The committee's students are those of [ner].
        judging = (
            {"ner": _values(config.ner.mentions_only())} if config.synthesize.agreement else {}
        )
        return self._cell(
            "sample",
            config={
                "sft": self._units,
                "synthesize": asking,
                "sample": _values(config.sample),
                # No text is asked for that would be too short or too long to be kept.
                "filter": _values(config.filter, "min_words", "max_words"),
                **self._telling,
                **judging,
                **more,
            },
            inputs=inputs,
            sources=sources,
        )

    def synthetic(self, arm: ArmConfig) -> Cell:
        """What is kept of it; text that repeats dev or test is not."""
        return self._cell(
            "filter",
            config={"filter": self._filter(arm), "corpus": self._reading},
            inputs={"gold": self.gold, "candidates": self.candidates(arm)},
            sources={"dev": self.sources.dev, "test": self.sources.test},
        )

    def _filter(self, arm: ArmConfig) -> dict[str, Any]:
        return _times(arm.amount, _values(self.config.filter), "keep_per_gold")

    def made(self, source: Source, arm: ArmConfig) -> Cell:
        """The cell whose documents join gold as ``source`` in ``arm``."""
        augment = self.config.augment
        builders: dict[Source, Callable[[], Cell]] = {
            "synthetic": lambda: self.synthetic(arm),
            "synthetic-unfiltered": lambda: self._cell(
                "unfiltered",
                config=_times(
                    arm.amount, _values(self.config.filter, "keep_per_gold"), "keep_per_gold"
                ),
                inputs={"gold": self.gold, "candidates": self.candidates(arm)},
            ),
            "synthetic-relabelled": lambda: self._cell(
                "relabelled",
                config={},
                inputs={"made": self.synthetic(arm), "model": self.student(self.gold_arm)},
            ),
            "synthetic-shuffled-labels": lambda: self._cell(
                "synthetic-shuffled-labels", config={}, inputs={"made": self.synthetic(arm)}
            ),
            "replaced": lambda: self._cell(
                "replaced",
                config=_values(augment, "copies", "replace_ratio"),
                inputs={"gold": self.gold},
            ),
            "replaced-proposed": lambda: self._cell(
                "replaced-proposed",
                config=_values(augment, "copies", "replace_ratio", "proposed_ratio"),
                inputs={"gold": self.gold, "names": self.names()},
            ),
            "lwtr": lambda: self._cell(
                "lwtr",
                config=_values(augment, "copies", "token_ratio"),
                inputs={"gold": self.gold},
            ),
            "shuffled": lambda: self._cell(
                "shuffled",
                config=_values(augment, "copies", "shuffle_ratio"),
                inputs={"gold": self.gold},
            ),
        }
        return builders[source]()

    @property
    def gold_arm(self) -> ArmConfig:
        """The arm that trains on gold alone."""
        return next(arm for arm in self.config.arm if arm.name == GOLD)

    def _student_seed(self, number: int) -> int:
        # The same for all arms of a draw: arms differ in what they train on, not in luck.
        return self._seed(f"student {number + 1}" if number else "student")

    def student(self, arm: ArmConfig, number: int = 0) -> Cell:
        """The arm's NER model; of several, the first is the one that labels and that is kept."""
        student = student_of(self.config, arm)
        return self._cell(
            "ner",
            config={"ner": _values(student)},
            inputs={"gold": self.gold, **{source: self.made(source, arm) for source in arm.made}},
            sources=self._encoder(student),
            seed=self._student_seed(number),
            arm=arm.name,
            student=number,
        )

    def score(self, arm: ArmConfig, split: str) -> Cell:
        """The arm's scores on a split, of all its students together."""
        scores = [self._score(arm, split, n) for n in range(self.config.draws.students)]
        if len(scores) == 1:
            return scores[0]
        students = {f"student-{n + 1}": cell for n, cell in enumerate(scores)}
        inputs = {"gold": self.gold, **students}
        return self._cell("pool", config={}, inputs=inputs, seed=0, arm=arm.name)

    def _score(self, arm: ArmConfig, split: str, number: int) -> Cell:
        return self._cell(
            "score",
            config={**self._documents(split), **self._attributes(arm)},
            inputs={"gold": self.gold, "model": self.student(arm, number)},
            sources={"documents": self._source(split)},
            seed=self._student_seed(number),
            arm=arm.name,
            student=number,
        )

    def _attributes(self, arm: ArmConfig) -> dict[str, Any]:
        """Which attributes are scored: those that the student is to learn, in keys if any."""
        names = student_of(self.config, arm).attributes
        return {"attributes": list(names)} if names else {}

    def coverage(self, arm: ArmConfig, split: str) -> Cell:
        """How much of what gold lacks stands in the arm's synthetic text."""
        return self._cell(
            "coverage",
            config=self._documents(split),
            inputs={"gold": self.gold, "made": self.synthetic(arm), "names": self.names()},
            sources={"documents": self._source(split)},
            seed=0,
            arm=arm.name,
        )

    def _documents(self, split: str) -> dict[str, Any]:
        draws = self.config.draws
        if split == OUT_OF_DRAW:
            n, seed = draws.out_of_draw_documents, out_of_draw_seed(draws.seed)
            return {**self._reading, "split": split, "documents": n, "chosen_by": seed}
        n = draws.test_documents if split == "test" else draws.dev_documents
        return {**self._reading, "split": split, "documents": n}

    def _source(self, split: str) -> str:
        found: str = getattr(self.sources, "train" if split == OUT_OF_DRAW else split)
        return found

    def _encoder(self, student: NerConfig) -> dict[str, str]:
        return {"encoder": self.sources.encoders.get(student.encoder, student.encoder)}
