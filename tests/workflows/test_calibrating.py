"""Calibration on held-out gold: what counts as right, too few mentions, the outcome in numbers."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from notesmith.annotation.calibration import LEAST_MENTIONS, at_temperature
from notesmith.document import Document, Entity
from notesmith.experiment.artefacts import SampleLog
from notesmith.workflows.calibrating import calibrate, calibrated_by


@dataclass
class Reader:
    """Finds ``found`` in every document, and remembers what it was given."""

    found: tuple[Entity, ...]
    given: tuple[Document, ...] = ()

    def label(self, docs, **_):
        self.given = tuple(docs)
        self.docs = tuple(doc.with_entities(self.found) for doc in docs)
        return self


def mention(start: int, end: int, label: str, score: float) -> Entity:
    return Entity(f"T{start}", label, ((start, end),), (f"score={score}",))


def test_a_mention_is_right_with_the_label_and_boundaries_of_gold(tmp_path) -> None:
    gold = Document(
        "a", "Gout and lupus or mumps.",
        (Entity("T1", "Disease", ((0, 4),)), Entity("T2", "Disease", ((9, 14),))),
    )  # fmt: skip
    reader = Reader(
        (
            mention(0, 4, "Disease", 0.9),
            mention(5, 14, "Disease", 0.8),
            mention(18, 23, "Disease", 0.7),
        )
    )
    log = SampleLog(tmp_path / "log.jsonl")
    found = calibrate(reader, [gold], log)
    assert (found.documents, found.mentions, found.right) == (1, 3, 1)
    assert not reader.given[0].entities
    masked = calibrate(reader, [replace(gold, masked=((18, 23),))], log)
    assert (masked.mentions, masked.right) == (2, 1)


@pytest.mark.parametrize("n", [LEAST_MENTIONS - 1, LEAST_MENTIONS])
def test_scores_are_left_as_they_are_where_mentions_are_few(n: int) -> None:
    right = [i % 2 == 0 for i in range(n)]
    found = calibrated_by([0.95] * n, right, n_documents=4)
    assert found.error_before == pytest.approx(0.95 - sum(right) / n, abs=1e-4)
    if n < LEAST_MENTIONS:
        assert found.temperature is None and found.error_after == found.error_before
    else:
        assert found.temperature is not None and found.error_after < 0.1
        [own] = found.bins
        assert own.mean_score == pytest.approx(at_temperature(0.95, found.temperature), abs=1e-4)
        assert (own.n, own.right_ratio) == (n, 0.5)


def test_no_document_held_out_is_no_mention() -> None:
    found = calibrated_by([], [], n_documents=0)
    assert (found.temperature, found.mentions, found.bins) == (None, 0, ())
