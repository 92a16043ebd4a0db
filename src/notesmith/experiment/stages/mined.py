"""The stages of names mined from notes: what an arm's annotators were sure of, and its quality.

``mined`` reads silver with hard labels, whatever the arm itself learns from. ``mined-quality``
compares the list with the labels that notes of train have, which nothing learns from.
"""

from __future__ import annotations

import json
from pathlib import Path

from notesmith.annotation.mined import ListQuality, Mined, mine_names, quality_of
from notesmith.config.annotators import AnnotateConfig, MinedConfig
from notesmith.config.recipe import ArmConfig
from notesmith.document import Document
from notesmith.experiment import artefacts as files
from notesmith.experiment.draw import Draw
from notesmith.experiment.graph import Cell, Stage, Work
from notesmith.experiment.metrics import Metrics
from notesmith.experiment.stages import silver
from notesmith.experiment.stages.common import folded_mentions, gold_in
from notesmith.files.write import atomic_write_text
from notesmith.metrics import fold_mention

SOURCE_NAME = "replaced-mined"
"""The source that replaces mentions by mined names; see ``rivals``."""
_FILE = "mined.json"


class Measured(Metrics):
    """Mined names by label, and how many distinct names of silver are not, by reason."""

    mined: dict[str, int]
    left_out: dict[str, int]


def cell(draw: Draw, arm: ArmConfig) -> Cell:
    """Names mined from the notes that the annotators of ``arm`` label."""
    config = arm.annotate
    plain = AnnotateConfig()
    hard = config.model_copy(update={"labels": "hard", "doubtful": plain.doubtful})
    labelled = silver.cell(draw, arm.model_copy(update={"annotate": hard}))
    inputs = {"gold": draw.gold, "silver": labelled}
    return draw.cell(STAGE, config.mined, inputs=inputs, seed=0, arm=arm.name)


def of_recipe(draw: Draw) -> Cell:
    """Names mined as [annotate] says, for what the generator is asked for."""
    arm = draw.gold_arm.model_copy(update={"annotate": draw.config.annotate})
    return cell(draw, arm)


def run(work: Work[MinedConfig]) -> Measured:
    """Mine the names of silver that are sure and not in gold."""
    found = mine_names(files.load_docs(work.inputs["silver"]), gold_in(work), work.config)
    atomic_write_text(work.out / _FILE, json.dumps(found.to_json(), ensure_ascii=False, indent=1))
    return Measured(
        mined={label: len(names) for label, names in found.names.items()},
        left_out={str(reason): n for reason, n in found.left_out.items()},
    )


def load_mined(folder: Path) -> Mined:
    """What ``run`` left in a cell's folder."""
    return Mined.from_json(json.loads((folder / _FILE).read_text(encoding="utf-8")))


STAGE = Stage("mined", version=1, config=MinedConfig, metrics=Measured, run=run)


class Quality(Metrics):
    """How many mined names are right, in points, and how many unseen mentions are among them.

    ``low`` is the lower end of Wilson's interval of ``precision``. Names are judged that stand in
    notes whose labels are known: a name is right that is there a mention of its label.
    ``unseen_covered`` is the share of mentions that gold lacks which are mined names, in documents
    of train that are neither gold nor notes.
    """

    names: int
    right: int
    precision: float
    low: float
    by_label: dict[str, tuple[int, int]]
    unseen_mentions: int
    unseen_covered: float


def quality_cells(draw: Draw, arm: ArmConfig) -> list[Cell]:
    """How good the mined names of an arm are; none where it does not use any."""
    if SOURCE_NAME not in arm.made:
        return []
    mined, outside = cell(draw, arm), draw.outside
    return [
        draw.cell(
            QUALITY,
            silver.QualitySettings.from_recipe(draw.config),
            inputs={"gold": draw.gold, "silver": mined.inputs["silver"], "mined": mined},
            fingerprints={"documents": outside.train, **outside.of_part("train")},
            seed=0,
            arm=arm.name,
        )
    ]


def quality(work: Work[silver.QualitySettings]) -> Quality:
    """Compare the list with the labels of train; nothing learns from it."""
    train = silver.open_train(work)
    labelled = files.load_docs(work.inputs["silver"])
    names = load_mined(work.inputs["mined"]).by_label
    of_notes = {(doc.id, doc.text) for doc in labelled}
    known = [doc for doc in train if (doc.id, doc.text) in of_notes]
    texts = {(doc.id, doc.text) for doc in known}
    judged = _standing_in([doc for doc in labelled if (doc.id, doc.text) in texts], names)
    found = quality_of(judged, known)
    gold = gold_in(work)
    drawn = {doc.id for doc in gold}
    others = [doc for doc in train if doc.id not in drawn and (doc.id, doc.text) not in texts]
    unseen = _unseen(others, folded_mentions(gold))
    listed = {(label, fold_mention(name)) for label, some in names.items() for name in some}
    each = {label: quality_of({label: some}, known) for label, some in judged.items()}
    return Quality(
        names=found.n,
        right=found.right,
        precision=_points(found.precision),
        low=_points(found.low),
        by_label={label: _pair(one) for label, one in each.items()},
        unseen_mentions=len(unseen),
        unseen_covered=_points(sum(one in listed for one in unseen) / max(1, len(unseen))),
    )


def _standing_in(
    docs: list[Document], names: dict[str, tuple[str, ...]]
) -> dict[str, tuple[str, ...]]:
    """Those of ``names`` that are mentions of ``docs``."""
    mentions = folded_mentions(docs)
    return {
        label: tuple(name for name in some if fold_mention(name) in mentions)
        for label, some in names.items()
    }


def _unseen(docs: list[Document], known: set[str]) -> list[tuple[str, str]]:
    """Label and folded text of the mentions of ``docs`` that are not among ``known``."""
    mentions = [
        (ent.label, fold_mention(ent.mention(doc.text))) for doc in docs for ent in doc.entities
    ]
    return [one for one in mentions if one[1] not in known]


def _points(share: float) -> float:
    return round(100 * share, 3)


def _pair(one: ListQuality) -> tuple[int, int]:
    return one.right, one.n


QUALITY = Stage(
    "mined-quality",
    version=1,
    config=silver.QualitySettings,
    metrics=Quality,
    run=quality,
    text_free=True,
)
STAGES = (STAGE, QUALITY)
