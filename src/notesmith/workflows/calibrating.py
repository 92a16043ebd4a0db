"""Calibrate a tuned language model on the gold that its tuning held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

from notesmith.annotation.calibration import LEAST_MENTIONS, at_temperature, fit_temperature
from notesmith.annotation.language_model import LmAnnotator
from notesmith.corpus.splits import hold_out
from notesmith.document import Document
from notesmith.evaluate.calibration import Calibrated, judge_mentions, reliability
from notesmith.experiment.artefacts import SampleLog, load_docs
from notesmith.experiment.graph import Cell
from notesmith.experiment.stages.annotator import Settings
from notesmith.experiment.store import CellStore
from notesmith.progress import OnProgress, silent


def held_out_of(model: Cell, store: CellStore) -> list[Document]:
    """The gold documents that the tuning of ``model`` held out for early stopping."""
    gold = load_docs(store.folder(model.inputs["gold"]))
    held = hold_out(gold, cast("Settings", model.config).sft.dev_ratio, model.seed)
    return [doc for doc in gold if doc.id in held]


def calibrate(
    reader: LmAnnotator,
    held: Sequence[Document],
    log: SampleLog,
    *,
    on_progress: OnProgress = silent,
) -> Calibrated:
    """Let ``reader`` find the mentions of ``held`` and fit a temperature to their scores.

    Mentions that touch what gold masks are left out. Answers in ``log`` are not drawn again.
    """
    bare = [doc.with_entities(()) for doc in held]
    made = reader.label(bare, on_progress=on_progress, finished=log.finished, on_samples=log.append)
    judged = judge_mentions(held, made.docs)
    return calibrated_by(judged.scores, judged.strict, n_documents=len(held))


def calibrated_by(
    scores: Sequence[float], right: Sequence[bool], *, n_documents: int
) -> Calibrated:
    """What the ``scores`` of mentions that are ``right`` or not say of all others."""
    is_enough = len(scores) >= LEAST_MENTIONS
    temperature = round(fit_temperature(scores, right), 4) if is_enough else None
    then = [at_temperature(score, temperature) for score in scores] if temperature else scores
    before, after = reliability(scores, right), reliability(then, right)
    return Calibrated(
        documents=n_documents,
        mentions=len(scores),
        right=sum(right),
        temperature=temperature,
        error_before=round(before.calibration_error, 4),
        error_after=round(after.calibration_error, 4),
        bins=tuple(
            replace(b, mean_score=round(b.mean_score, 4), right_ratio=round(b.right_ratio, 4))
            for b in after.bins
        ),
    )
