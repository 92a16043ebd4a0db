"""What the report says of notes that annotators labelled."""

from notesmith.config.annotators import AnnotateConfig
from notesmith.report.html import render_report
from notesmith.report.labelled import (
    annotators_in_words,
    mined_means,
    silver_means,
    silver_sentences,
)
from notesmith.report.methods import draft_methods
from notesmith.report.tables import all_tables, to_csv

from .conftest import read

ARM = {"name": "notes", "made": ["silver"], "annotate": {"by": ["students", "lm-json"]}}


def silver(**changes):
    values = {
        "arm": "notes",
        "size": 50,
        "replicate": 0,
        "notes": 300,
        "left_out": 2,
        "mentions": {"Disease": 100, "Drug": 50},
        "confidence": 0.9,
        "doubtful": 0.02,
        "answers": 40,
        "unusable": {"wrong_label": 4},
        "known": 200,
        "scores": (60.0, 50.0, 54.5),
        "by_label": {"Disease": (70.0, 60.0, 64.6), "Drug": (50.0, 40.0, 44.4)},
        "calibration_error": 0.03,
    }
    return values | changes


def with_silver(results, *rows):
    results["config"]["arm"].append(ARM)
    results["silver"] = list(rows)
    return read(results)


def test_silver_is_averaged_over_draws(results):
    other = silver(replicate=1, mentions={"Disease": 50}, scores=(70.0, 60.0, 64.5), unusable={})
    (found,) = silver_means(with_silver(results, silver(), other), size=50)
    assert (found.n_replicates, found.mentions, found.unusable) == (2, 100, {"wrong_label": 2})
    assert (found.precision, found.recall, found.f1) == (65.0, 55.0, 59.5)
    assert found.by_label["Drug"] == (50.0, 40.0, 44.4)


def test_the_report_tells_how_right_silver_is_how_much_there_is_and_who_labelled(results):
    page = render_report(with_silver(results, silver()))
    section = page[page.index('aria-labelledby="labelled"') :].partition("</section>")[0]
    for said in ("54.5", "0.030", "150", "2.0%", "wrong label 4", "44.4", "5 students of"):
        assert said in section
    assert '<a href="#labelled">' in page


def test_silver_is_a_table_for_analysis(results):
    tables = {table.name: table for table in all_tables(with_silver(results, silver()))}
    header, row = to_csv(tables["labelled-notes"]).splitlines()
    found = dict(zip(header.split(","), row.split(","), strict=True))
    assert (found["arm"], found["f1"], found["notes"]) == ("notes", "54.5", "300")


def test_silver_whose_truth_nobody_knows_has_amounts_and_no_scores(results):
    unknown = silver(known=0, scores=None, by_label={}, calibration_error=None)
    found = with_silver(results, unknown)
    page = render_report(found)
    section = page[page.index('aria-labelledby="labelled"') :].partition("</section>")[0]
    assert "54.5" not in section and "by label" not in section and "300" in section
    assert "precision" not in silver_sentences(found, size=50)[0]


def test_a_report_without_silver_has_no_section_of_it(example):
    assert 'id="labelled"' not in render_report(example)
    assert "**Silver.**" not in draft_methods(example).methods


def test_methods_say_who_labelled_how_many_notes_and_how_right_they_were(results):
    found = with_silver(results, silver())
    assert silver_sentences(found, size=50) == [
        'For arm "notes", 5 students of "gold" and the language model, tuned on gold, as JSON '
        "labelled 300 notes, learnt as distributions over tags; on the 200 of them whose labels "
        "are known, which nobody saw, precision was 60.0, recall 50.0 and F1 54.5."
    ]
    assert "**Silver.**" in draft_methods(found).methods


def test_annotators_are_named_in_words():
    config = AnnotateConfig(by=("students", "dictionary"), teachers=("a", "b"), students=3)
    assert annotators_in_words(config) == '3 students each of "a" and "b" and a dictionary'
    assert annotators_in_words(AnnotateConfig(students=1)) == '1 student of "gold"'


def test_mined_names_stand_with_their_precision_and_its_lower_bound(results):
    row = {"arm": "notes", "size": 50, "replicate": 0, "names": 10, "right": 8}
    row |= {"precision": 80.0, "low": 49.0, "unseen_covered": 12.0}
    results["mined"] = [row, row | {"replicate": 1, "names": 20, "right": 18, "precision": 90.0}]
    found = read(results)
    (means,) = mined_means(found, size=50)
    assert (means.names, means.right, means.precision, means.n_replicates) == (15, 13, 85.0, 2)
    section = (
        render_report(found).partition('aria-labelledby="labelled"')[2].partition("</section>")
    )
    assert "85.0" in section[0] and "49.0" in section[0] and "12%" in section[0]
