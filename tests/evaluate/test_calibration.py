from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.corpus import write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import StageError
from notesmith.evaluate.calibration import mention_reliability, reliability, word_reliability
from notesmith.ner.decode import WordScores
from notesmith.words import words

TEXT = "Gout and severe asthma today."
GOUT, ASTHMA, SEVERE = (0, 4), (16, 22), (9, 22)


def doc(*entities: tuple[str, tuple[int, int], str], name: str = "n") -> Document:
    ents = (
        Entity(f"T{i}", label, (span,), (f"score={score}",) if score else ())
        for i, (label, span, score) in enumerate(entities)
    )
    return Document(name, TEXT, tuple(ents))


def test_the_error_is_the_weighted_distance_of_bins() -> None:
    found = reliability([0.95, 0.91, 0.93, 0.2, 1.0], [True, True, False, True, True])
    assert [(b.low, b.high, b.n) for b in found.bins] == [(0.2, 0.3, 1), (0.9, 1.0, 4)]
    low, high = found.bins
    assert (low.mean_score, low.right_ratio) == (0.2, 1)
    assert (high.mean_score, high.right_ratio) == (pytest.approx(0.9475), 0.75)
    assert found.calibration_error == pytest.approx((0.8 + 4 * 0.1975) / 5)
    assert found.n == 5


def test_the_border_of_two_bins_is_the_upper_ones() -> None:
    found = reliability([0.1, 0.3, 0.6, 0.7], [True] * 4)
    assert [b.low for b in found.bins] == [0.1, 0.3, 0.6, 0.7]


def test_nothing_has_no_error() -> None:
    found = reliability((), ())
    assert (found.bins, found.n, found.calibration_error) == ((), 0, 0)


GOLD = doc(("Disease", GOUT, ""), ("Disease", SEVERE, ""))


def test_a_mention_is_right_strictly_or_leniently() -> None:
    predicted = doc(("Disease", GOUT, "0.9"), ("Disease", ASTHMA, "0.8"), ("Drug", (23, 28), "0.7"))
    found = mention_reliability([GOLD], [predicted])
    assert found is not None
    assert [b.right_ratio for b in found.strict.bins] == [0, 0, 1]
    assert [b.right_ratio for b in found.lenient.bins] == [0, 1, 1]
    assert found.strict.calibration_error == pytest.approx((0.7 + 0.8 + 0.1) / 3)
    assert found.lenient.calibration_error == pytest.approx((0.7 + 0.2 + 0.1) / 3)


def test_masked_text_and_what_is_no_share_are_left_out() -> None:
    masked = replace(GOLD, masked=((16, 22),))
    predicted = doc(("Disease", GOUT, "high"), ("Disease", ASTHMA, "0.8"), ("Drug", (23, 28), "0"))
    found = mention_reliability([masked], [predicted])
    assert found is not None
    assert (found.strict.n, found.n_without) == (1, 1)
    assert mention_reliability([GOLD], [GOLD]) is None


def test_words_are_as_sure_as_their_decided_tag() -> None:
    spans = tuple(words(TEXT))
    rows = np.tile(np.array([0.9, 0.05, 0.05], np.float32), (len(spans), 1))
    rows[0] = [0.3, 0.7, 0.0]  # Gout: right
    rows[3] = [0.2, 0.8, 0.0]  # asthma: begins there, as gold does not
    scores = WordScores(spans, rows)
    found = word_reliability([GOLD], [scores], ["Disease"])
    # severe is O here and not in gold; and, today and the stop are right.
    assert [(b.n, b.right_ratio) for b in found.bins] == [(1, 1), (1, 0), (4, 0.75)]
    masked = replace(GOLD, masked=((9, 22),), entities=GOLD.entities[:1])
    assert word_reliability([masked], [scores], ["Disease"]).n == 4
    unknown = replace(GOLD, unknown=("Disease",))
    assert word_reliability([unknown], [scores], ["Disease"]).n == 0
    with pytest.raises(StageError, match="'n': its scores are of other labels"):
        word_reliability([GOLD], [scores], ["Disease", "Drug"])


def test_evaluate_shows_it_where_predictions_carry_scores(tmp_path) -> None:
    gold = [replace(GOLD, id=f"n{i}") for i in range(20)]
    predicted = [doc(("Disease", GOUT, "0.95"), name=f"n{i}") for i in range(10)]
    predicted += [doc(("Disease", ASTHMA, "0.65"), name=f"n{i}") for i in range(10, 19)]
    predicted += [doc(("Disease", GOUT, ""), name="n19")]
    paths = {"gold": gold, "scored": predicted, "bare": gold}
    for name, docs in paths.items():
        write_corpus(docs, tmp_path / f"{name}.jsonl")

    def call(name: str, *options: str) -> str:
        files = [str(tmp_path / "gold.jsonl"), str(tmp_path / f"{name}.jsonl")]
        command = ["evaluate", *files, "--resamples", "100", *options]
        result = CliRunner().invoke(app, command, catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return result.output

    assert "reliability" not in call("bare")
    assert json.loads(call("bare", "--json"))["reliability"] is None
    output = call("scored")
    assert re.search(r"0\.6 to 0\.7 +9 +0\.65 +0\.00 +1\.00", output)
    assert re.search(r"0\.9 to 1\.0 +10 +0\.95 +1\.00 +1\.00", output)
    assert "Predictions that carry no score from 0 to 1: 1. The" in " ".join(output.split())
    found = json.loads(call("scored", "--json"))["reliability"]
    # Strict: (9 x 0.65 + 10 x 0.05) / 19.
    assert found["strict"]["calibration_error"] == pytest.approx((9 * 0.65 + 0.5) / 19)
