"""The stage of the dictionary: names of gold and of term lists label the notes of an arm."""

from __future__ import annotations

from pathlib import Path

from notesmith.annotation.dictionary import build_dictionary
from notesmith.config.annotators import DictionaryConfig
from notesmith.config.recipe import ArmConfig
from notesmith.corpus.names import read_names
from notesmith.experiment.cost import Amount, CorpusStats
from notesmith.experiment.draw import Annotator, Draw
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.stages import notes, teachers
from notesmith.experiment.stages.common import gold_in, labels_in

# Words a second that are looked up.
_WORDS_A_SECOND = 200_000


class Measured(teachers.Measured):
    """Names that are looked up, and how many were left out, by reason; mentions that did not fit.

    ``missed`` is the share of words outside all matches that are words of mentions, in gold.
    ``misfits`` are of all notes but those that were ``resumed``.
    """

    names: int
    left_out: dict[str, int]
    missed: float
    misfits: dict[str, int]


def cell(draw: Draw, arm: ArmConfig, found: Cell) -> Cell:
    """What the dictionary says of the notes in ``found``."""
    config = arm.annotate.dictionary
    outside = draw.outside.annotators
    return draw.cell(
        STAGE,
        config,
        inputs={"gold": draw.gold, teachers.NOTES: found},
        fingerprints={label: outside.get(p, p) for label, p in config.term_lists.items()},
        seed=0,
        arm=arm.name,
    )


def run(work: Work[DictionaryConfig]) -> Measured:
    """Build the dictionary from gold and the lists, and look its names up in the notes."""
    listed = {
        label: read_names(Path(path).expanduser()) for label, path in work.config.term_lists.items()
    }
    dictionary = build_dictionary(gold_in(work), listed, labels_in(work), work.config)
    annotator = dictionary.annotator()
    read = teachers.label_notes(work, annotator)
    return Measured(
        **read.model_dump(exclude_unset=True),
        names=len(dictionary.names),
        left_out={str(reason): n for reason, n in dictionary.left_out.items()},
        missed=round(dictionary.floor, 6),
        misfits=dict(annotator.counts),
    )


def cost(config: DictionaryConfig, cell: Cell, facts: CorpusStats) -> Amount:
    """Words of the notes, looked up one by one."""
    found = notes.expected(cell.inputs[teachers.NOTES], facts)
    return Amount(seconds=0.3 + found.words / _WORDS_A_SECOND)


STAGE = Stage(
    "dictionary", version=1, config=DictionaryConfig, metrics=Measured, run=run, cost=cost
)
ANNOTATOR = Annotator("dictionary", "a dictionary of names in gold and in term lists", cell)
