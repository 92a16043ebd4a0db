"""Predictions that do not fit gold: the shapes of seqeval#24 and nervaluate#84."""

import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.corpus import write_corpus
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError, StageError
from notesmith.evaluate.pairing import pair
from notesmith.evaluate.predictions import rate

TEXT = "Had rash and nausea."


def doc(name, *ents, text=TEXT):
    return Document(name, text, tuple(Entity(f"T{i}", x, (s,)) for i, (x, s) in enumerate(ents)))


RASH, NAUSEA = ("Problem", (4, 8)), ("Problem", (13, 19))
GOLD = [doc("n1", RASH, NAUSEA), doc("n2", ("Drug", (5, 12)), text="Took aspirin."), doc("n3")]


def paired(*predicted, **options):
    return pair(GOLD, predicted, **options)


def test_predictions_as_they_should_be_need_no_word():
    found = paired(*reversed(GOLD))
    assert [d.id for d in found.predicted] == ["n1", "n2", "n3"]
    assert found.notices == ()


def test_a_document_without_a_prediction_is_named_with_the_option():
    with pytest.raises(StageError) as error:
        paired(*GOLD[1:])
    assert str(error.value) == (
        "the predictions lack 1 document of gold: 'n1'; predict all, or count what is lacking as "
        "missed: --missing counts-as-empty"
    )


def test_at_most_five_documents_are_named():
    gold = [doc(f"n{i}", RASH) for i in range(8)]
    with pytest.raises(StageError, match=r"lack 7 documents .*'n1', 'n2', 'n3', 'n4', 'n5' and 2"):
        pair(gold, gold[:1])


def test_a_document_without_a_prediction_may_count_as_empty():
    found = paired(*GOLD[1:], missing="counts-as-empty")
    assert found.predicted[0] == Document("n1", TEXT)
    assert found.notices == (
        "The predictions lack 1 document of gold, counted as empty: 'n1'. Mentions missed for "
        "that: 2.",
    )
    assert rate(GOLD, GOLD[1:], missing="counts-as-empty", resamples=100).views[0].fn == 2


def test_a_document_that_gold_lacks_is_named():
    with pytest.raises(StageError, match="have 1 document that gold lacks: 'n4'; take what gold"):
        paired(*GOLD, doc("n4"), missing="counts-as-empty")


def test_another_text_is_named_with_the_offset():
    other = replace(GOLD[2], text="Had fever and nausea.")
    with pytest.raises(StageError) as error:
        paired(*GOLD[:2], other)
    assert str(error.value) == (
        "doc 'n3': the predictions have another text, which differs from offset 4 on (20 "
        "characters in gold, 21 there); predict the text of gold as it is"
    )
    with pytest.raises(StageError, match=r"offset 20 on .*only white space at the end differs"):
        paired(*GOLD[:2], replace(GOLD[2], text=TEXT + "\n"))


def test_sides_named_after_their_files_are_paired_by_order_where_texts_are_equal():
    found = paired(*(replace(d, id=f"pred-{i}") for i, d in enumerate(GOLD, 1)))
    assert list(found.predicted) == GOLD
    assert found.notices == (
        "The predictions were paired with gold by order, because no id is the same ('n1' in gold, "
        "'pred-1' there) and every text is.",
    )
    with pytest.raises(StageError, match="give both sides the same documents"):
        paired(*(replace(d, id=f"pred-{i}") for i, d in enumerate([*GOLD[1:], GOLD[0]])))


def test_labels_of_other_case_are_pointed_at():
    upper = [d.with_entities(replace(e, label=e.label.upper()) for e in d.entities) for d in GOLD]
    (notice,) = paired(*upper).notices
    assert "(DRUG for Drug, PROBLEM for Problem)" in notice
    assert notice.endswith("give --label-map DRUG=Drug --label-map PROBLEM=Problem.")


def test_a_repeated_mention_counts_once_and_is_said():
    predicted = [doc("n1", RASH, NAUSEA, RASH), *GOLD[1:]]
    (notice,) = paired(*predicted).notices
    assert "In the predictions, 1 mention repeat" in notice and "'n1': each counts once" in notice
    strict = rate(GOLD, predicted, resamples=100).views[0]
    assert (strict.tp, strict.fp, strict.fn) == (3, 0, 0)


def test_overlapping_predictions_are_said_unless_gold_overlaps_too():
    predicted = [doc("n1", RASH, NAUSEA, ("Drug", (4, 8)), ("Problem", (0, 8))), *GOLD[1:]]
    (notice,) = paired(*predicted).notices
    assert "2 mentions overlap an earlier one, in 'n1', and none of gold does" in notice
    assert pair(predicted, predicted).notices == ()


def test_white_space_at_an_end_of_a_prediction_is_pointed_at():
    (notice,) = paired(doc("n1", ("Problem", (3, 8)), NAUSEA), *GOLD[1:]).notices
    assert "1 mention begin or end with white space" in notice
    assert "doc 'n1' [3, 8)" in notice


def test_gold_without_a_mention_is_an_error():
    with pytest.raises(StageError, match="gold has no mention, so nothing can be found"):
        rate([doc("n1")], [doc("n1", RASH)])


def test_a_label_that_gold_lacks_is_said():
    found = rate(GOLD, [*GOLD[:2], doc("n3", ("Mood", (0, 3)))], resamples=100)
    said = "Gold has no mention of Mood: every prediction of such a label is wrong."
    assert said in found.notices


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def test_a_label_map_brings_two_spellings_together_and_is_checked(tmp_path):
    gold, predicted = tmp_path / "gold.jsonl", tmp_path / "pred.jsonl"
    write_corpus(GOLD, gold)
    write_corpus(
        [d.with_entities(replace(e, label=e.label.upper()) for e in d.entities) for d in GOLD],
        predicted,
    )
    mapped = ("--label-map", "DRUG=Drug", "--label-map", "PROBLEM=Problem")
    done = run(gold, predicted, *mapped)
    assert done.exit_code == 0, done.output
    assert re.search(r"strict +100\.0", done.output)
    done = run(gold, predicted, "--label-map", "Durg=Drug")
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception) == (
        "the label map names Durg, which no document has; labels are DRUG, Drug, PROBLEM, Problem"
    )


def test_predictions_without_any_mention_are_scored_and_said(tmp_path):
    gold, predicted = tmp_path / "gold.jsonl", tmp_path / "pred.jsonl"
    write_corpus(GOLD, gold)
    write_corpus([d.with_entities(()) for d in GOLD], predicted)
    done = run(gold, predicted)
    assert done.exit_code == 0
    assert "The predictions hold no mention at all." in done.output


def test_two_conll_files_are_scored_and_ill_formed_tags_said(tmp_path):
    gold, predicted = tmp_path / "gold.conll", tmp_path / "pred.conll"
    gold.write_text("had O\nrash B-Problem\n\ntook O\naspirin B-Drug\n")
    predicted.write_text("had O\nrash I-Problem\n\ntook B-Drug\naspirin I-Problem\n")
    done = run(gold, predicted, "--on-problem", "count")
    assert done.exit_code == 0, done.output
    assert "pred.conll: 2 ill-formed tags read as the nearest legal ones" in done.output
    assert "paired with gold by order" in done.output.replace("\n", " ")
