"""What cells hold is read back as it was written."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from notesmith.document import Document
from notesmith.experiment.artefacts import (
    CANDIDATES,
    has_scores,
    load_candidates,
    load_coverage,
    load_dropped,
    load_scores,
    save_candidates,
    save_coverage,
    save_dropped,
    save_scores,
)
from notesmith.filters.candidate import Candidate, Dropped
from notesmith.markup import Fault
from notesmith.ner.decode import WordScores
from notesmith.synthesis import Coverage


def test_dropped_text_keeps_what_it_repeats(tmp_path: Path) -> None:
    made = Candidate("b", "x", Document("b", "x"), requested=(("Disease", "gout"),), missing=1)
    dropped = [
        Dropped(Candidate("a", "<", Fault("open without close", 0)), "parse: open without close"),
        Dropped(made, "repeats gold", "g1", 0.875),
    ]
    save_dropped(dropped, tmp_path)
    assert load_dropped(tmp_path) == dropped


def test_candidates_keep_the_attributes_asked_for_where_any_were(tmp_path: Path) -> None:
    asked = (("Disease", "gout"), ("Disease", "rash"))
    plain = Candidate("a", "x", Document("a", "x"), requested=asked)
    made = [
        plain,
        Candidate("b", "x", Document("b", "x"), True, asked, 0, (("negated",), ()), 1),
    ]
    save_candidates(made, tmp_path)
    assert load_candidates(tmp_path) == made
    first, _ = (tmp_path / CANDIDATES).read_text().splitlines()
    assert "attributes" not in first.partition('"document"')[0]


def test_coverage_is_read_back(tmp_path: Path) -> None:
    rows = [Coverage("Disease", "", 3, 2, 1), Coverage("Disease", "Fabry disease", 2, 1, 0)]
    save_coverage(rows, tmp_path)
    assert load_coverage(tmp_path) == rows


def test_distributions_of_words_are_read_back_with_rows_that_sum_to_one(tmp_path: Path) -> None:
    rows = np.random.default_rng(3).dirichlet(np.full(5, 0.2), 7).astype(np.float32)
    first = WordScores(((0, 2), (3, 9), (9, 10)), rows[:3])
    empty = WordScores((), np.zeros((0, 5), np.float32))
    last = WordScores(((0, 1), (2, 4), (5, 6), (7, 12)), rows[3:])
    save_scores({"a": first, "é/ß": empty, "c": last}, tmp_path)
    found = load_scores(tmp_path)
    assert list(found) == ["a", "é/ß", "c"]
    for name, given in {"a": first, "é/ß": empty, "c": last}.items():
        assert found[name].words == given.words and found[name].probabilities.dtype == np.float32
        np.testing.assert_allclose(found[name].probabilities, given.probabilities, atol=1e-3)
        np.testing.assert_allclose(found[name].probabilities.sum(axis=1), 1, rtol=1e-6)


def test_no_distributions_are_read_back_as_none(tmp_path: Path) -> None:
    assert not has_scores(tmp_path)
    save_scores({}, tmp_path)
    assert has_scores(tmp_path) and load_scores(tmp_path) == {}
