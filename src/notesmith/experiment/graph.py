"""What a run is made of: stages, and cells, each of which is one piece of a stage's work.

A **stage** is a kind of work: its name, the classes of its configuration and of what it measures,
the function that does it, what it costs and how long what it leaves behind is kept. The stages are
in ``stages/``, a module each. A **cell** is one piece of that work. Its key is the hash of
everything its result depends on: the stage's name and version, the configuration, the seed, the
keys of the cells that it reads, and fingerprints of what comes from outside. Where cells are kept
is ``store.py``; what computes them is ``engine.py``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, get_args, get_origin

from notesmith.config.fields import Config
from notesmith.experiment.cost import PEAKS_OF_LM, Amount, CorpusStats, Peak
from notesmith.experiment.metrics import Metrics
from notesmith.files.checksums import canonical
from notesmith.progress import OnProgress, silent

if TYPE_CHECKING:
    from notesmith.lm.backends.server import Endpoint

C = TypeVar("C", bound=Config)
M = TypeVar("M", bound=Metrics)

OpenSplit = Callable[[str], Path]


def seed_for(root: int, *parts: str | int) -> int:
    """A seed in [0, 2³¹) that depends on ``root`` and ``parts`` alone."""
    digest = hashlib.sha256(canonical([root, *parts]).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def stated(config: Config) -> dict[str, Any]:
    """What ``config`` says beside its defaults, as JSON values; what tells kinds apart stays in."""
    values = config.model_dump(mode="json", exclude_defaults=True)
    for name, known in type(config).model_fields.items():
        value = getattr(config, name)
        if isinstance(value, Config) and name in values:
            values[name] = stated(value)
        elif get_origin(known.annotation) is Literal and len(get_args(known.annotation)) == 1:
            values[name] = value
    return values


class NoConfig(Config):
    """The configuration of a stage that has none."""


def quick(config: Config, cell: Cell, facts: CorpusStats) -> Amount:
    """The cost of a stage that loads no model and takes no time to speak of."""
    return Amount()


@dataclass(frozen=True, slots=True)
class Stage(Generic[C, M]):
    """A kind of work.

    Attributes:
        name: as it is shown, and in the keys and folders of its cells.
        version: bumped by hand when its results change for the same inputs. Keys leave out what is
            at its default, so a default that changes in ``config`` needs a new version too.
        config: class of its configuration.
        metrics: class of the text-free numbers that its cells are left with.
        run: does the work of a cell: reads the folders of its inputs, writes its own, and returns
            what it measured. A function of a module, so that it can be sent to another process.
        cost: how much work a cell is, from its configuration, itself and counts of the corpus.
        keeps: 'always' keeps what its cells leave behind. 'first' keeps it of the first replicate,
            fold and student alone and drops the rest once all readers are finished: for weights.
            What needs the weights of every draw, such as an audit of the models, sets 'always'
            here; ``--keep-models`` keeps all of one run.
        text_free: its cells hold ids, offsets and counts alone, and may be shared.
        peak: the kind of work whose peak memory it has; None where that is little.
    """

    name: str
    version: int
    config: type[C]
    metrics: type[M]
    run: Callable[[Work[C]], M]
    cost: Callable[[C, Cell, CorpusStats], Amount] = quick
    keeps: Literal["always", "first"] = "always"
    text_free: bool = False
    peak: Peak | None = None

    @property
    def uses_lm(self) -> bool:
        """Whether its work needs the language model, as the kind of its peak tells."""
        return self.peak in PEAKS_OF_LM

    def config_of(self, cell: Cell) -> C:
        """The configuration of one of its cells, with its type."""
        assert cell.stage.name == self.name, cell.title
        return cast("C", cell.config)


@dataclass(frozen=True, slots=True, eq=False)
class Cell:
    """One piece of work; stage, ``config``, ``seed``, ``inputs`` and fingerprints make its result.

    ``fingerprints`` are content hashes of what comes from outside the run (corpora, models).
    ``arm``, ``size``, ``replicate``, ``fold`` (-1: all) and ``student`` (of several, from 0) say
    where it belongs and are not in the key: two arms that ask for the same work share the cell.
    """

    stage: Stage[Any, Any]
    config: Config = field(default_factory=NoConfig)
    inputs: Mapping[str, Cell] = field(default_factory=dict)
    fingerprints: Mapping[str, str] = field(default_factory=dict)
    seed: int = 0
    arm: str = ""
    size: int = 0
    replicate: int = -1
    fold: int = -1
    student: int = 0
    key: str = field(init=False)

    def __post_init__(self) -> None:
        identity = {
            "stage": self.stage.name,
            "version": self.stage.version,
            "config": stated(self.config),
            "inputs": {name: cell.key for name, cell in self.inputs.items()},
            "fingerprints": self.fingerprints,
            "seed": self.seed,
        }
        digest = hashlib.sha256(canonical(identity).encode()).hexdigest()
        object.__setattr__(self, "key", digest[:24])

    @property
    def identity(self) -> Mapping[str, Any]:
        """What its marker on disk says of it."""
        return {"stage": self.stage.name, "version": self.stage.version, "key": self.key}

    @property
    def title(self) -> str:
        """A line for people: stage, arm, size, replicate, fold and student."""
        parts = [self.stage.name]
        if self.arm:
            parts.append(self.arm)
        if self.size:
            parts.append(f"n={self.size}")
        if self.replicate >= 0:
            parts.append(f"replicate {self.replicate + 1}")
        if self.fold >= 0:
            parts.append(f"fold {self.fold + 1}")
        if self.student:
            parts.append(f"student {self.student + 1}")
        return " · ".join(parts)

    @property
    def is_first(self) -> bool:
        """Whether it is of the first replicate, fold and student."""
        return self.replicate == 0 and self.fold <= 0 and self.student == 0

    def amount(self, facts: CorpusStats) -> Amount:
        """How much work it is."""
        return self.stage.cost(self.config, self, facts)

    def walk(self) -> Iterator[Cell]:
        """This cell and all it depends on, inputs first, each key once."""
        seen: set[str] = set()

        def visit(cell: Cell) -> Iterator[Cell]:
            if cell.key in seen:
                return
            seen.add(cell.key)
            for before in cell.inputs.values():
                yield from visit(before)
            yield cell

        yield from visit(self)


def may_discard(cell: Cell) -> bool:
    """Whether what a cell left behind may go once nothing needs it any more."""
    return cell.stage.keeps == "first" and not cell.is_first


@dataclass(frozen=True, slots=True)
class Context:
    """What stages need from outside their cell.

    ``train`` is a path; ``held_out`` gives the path of 'dev', 'test' or other documents without
    counting, to checks for repeats alone; ``open_split`` gives it through the seal.
    ``cache`` keeps converted models; ``terms`` are the user's names by label, ``concepts`` those
    that requests are steered to. ``server`` may be sent prompts; ``generator`` is the folder of one
    that was tuned before; ``unlabelled`` is the path of notes that annotators label, and
    ``more_notes`` of those that encoders read besides.
    """

    train: Path
    held_out: Mapping[str, Path]
    open_split: OpenSplit
    cache: Path
    terms: Mapping[str, Sequence[str]]
    server: Endpoint | None = None
    generator: Path | None = None
    concepts: Mapping[str, Sequence[str]] = field(default_factory=dict)
    unlabelled: Path | None = None
    more_notes: Path | None = None

    @property
    def parts(self) -> dict[str, Path]:
        """Paths of train and of what is held out, by name, for what keeps them apart."""
        return {"train": self.train, **self.held_out}


@dataclass(frozen=True, slots=True)
class Work(Generic[C]):
    """What a stage's function gets: its cell, folders to read and to write, and the context.

    ``inputs`` maps the cell's input names to folders of finished cells. ``scratch`` outlives kills:
    it may hold what an earlier attempt left, and is deleted when the cell finishes.
    """

    cell: Cell
    inputs: Mapping[str, Path]
    out: Path
    scratch: Path
    context: Context
    on_progress: OnProgress = silent

    @property
    def config(self) -> C:
        """The cell's configuration."""
        return cast("C", self.cell.config)

    @property
    def seed(self) -> int:
        """The cell's seed."""
        return self.cell.seed


StageFunction = Callable[[Work[Any]], Metrics]
