import re
from html.parser import HTMLParser

import pytest

from notesmith.document import Document, Entity, Provenance
from notesmith.findings import NO_VERDICT
from notesmith.report import DroppedExample, ExampleSet, write_report
from notesmith.report.html import render_examples, render_report

from .conftest import (
    in_hours,
    learnt,
    made,
    out_of_draw,
    read,
    with_adapted,
    with_attributes,
    with_votes,
)

PLANTED = "Quillfeather syndrome"
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(1)>\"' {{ 7*7 }}"
VOID = {"meta", "path", "line", "circle", "rect", "polyline", "br", "img"}


class Page(HTMLParser):
    """Tags, attributes, text, and whether tags nest."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.ids, self.stack, self.words = [], [], [], [], []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def gold(text=f"Known {PLANTED} since May."):
    start = text.index(PLANTED)
    return Document("g1", text, (Entity("T1", "Problem", ((start, start + len(PLANTED)),)),))


@pytest.fixture
def examples():
    made = Document("m1", f"No {PLANTED}.", provenance=Provenance("synthetic", model="lm"))
    return ExampleSet((gold(),), (made,), (DroppedExample("loop", f"{PLANTED} {PLANTED}"),))


def test_what_encoders_read_is_one_line_below_the_arms(results):
    assert "masked language model" not in Page(render_report(read(results))).text
    page = Page(render_report(read(with_adapted(results))))
    assert "synthetic+replaced adapted encoder" in page.text
    assert page.text.count("Its loss on 17 held-out texts was 4.100 nats before and 2.250") == 1
    assert "guard their weights as you guard those notes" in page.text


def test_the_two_steps_and_what_decides_are_on_the_page(results):
    text = Page(render_report(read(results))).text
    assert "Step 1: F1 change, synthetic+replaced v replaced" in text
    assert "Step 2: F1 change, synthetic+replaced v gold" in text
    assert "better, p = 0.019, step 1" in text
    assert "Test decides : no train documents outside the draws were scored." in text
    # Without a second set of documents the table has one column of F1.
    assert "out of the draw" not in text


def test_votes_of_gold_are_a_step_of_their_own(results):
    text = Page(render_report(read(with_votes(results)))).text
    assert "Step 3: F1 change, synthetic+replaced v gold, votes" in text
    assert "against replaced, then gold, then gold, votes" in text
    assert "gold, votes vote of 5" in text and "averaged word by word and decided once" in text


def test_one_step_is_not_called_a_step(results):
    results["comparisons"] = [c for c in results["comparisons"] if c["against"] == "gold"]
    for row in results["comparisons"]:
        row["step"] = 1 if row["step"] else None
    text = Page(render_report(read(results))).text
    assert "better, p = 0.002" in text
    assert "Step 1:" not in text and ", step 1" not in text


def test_both_sets_of_documents_stand_side_by_side(results):
    page = Page(render_report(read(out_of_draw(results))))
    text = page.text
    assert page.stack == []
    assert "scored on train documents out of the draw, 100 documents" in text
    assert (
        "Train documents out of the draw decide : each draw of 50 leaves at least 542 train "
        "documents that no stage of it read. The figures on test stand beside."
    ) in text
    # The deciding figure first, one point above that on test.
    gold = next(a for a in results["arms"] if (a["name"], a["size"]) == ("gold", 50))
    both = f"{gold['f1']['mean'] + 1:.1f} {gold['f1']['mean']:.1f} {gold['precision']['mean']:.1f}"
    assert f"gold {both}" in text
    # A size that is decided on test keeps its column.
    small = next(a for a in results["arms"] if (a["name"], a["size"]) == ("gold", 25))
    assert f"gold – {small['f1']['mean']:.1f} {small['precision']['mean']:.1f}" in text


def test_what_must_be_seen_first_stands_above_the_sentences(results):
    results["notices"] = ["gold at 50 documents, replicate 2, predicts nothing on test."]
    page = Page(render_report(read(results)))
    assert page.text.index("predicts nothing") < page.text.index("worse than gold: placebo")
    assert page.text.count("predicts nothing") == 2  # and among the limits


def test_an_unfinished_plan_claims_nothing(results):
    for row in results["comparisons"]:
        if row["size"] == 50:
            row |= {"claim": "unfinished", "planned": 20}
    text = Page(render_report(read(results))).text
    assert "no claim: 5 of 20 sealed draws" in text
    assert "20 draws were sealed and 5 are there." in text


def test_the_page_is_whole_and_holds_the_numbers(example):
    html = render_report(example)
    page = Page(html)
    assert page.stack == []
    assert len(set(page.ids)) == len(page.ids)
    for said in (
        "Recommendation: use",
        "worth about 31 more labelled notes [5, 85]",
        "+3.5 points",
        "95% interval [+0.8, +6.3]",
        "better, p = 0.019",
        "5 replicates",
        "gold draw, generator seed, student seed",
        "opened once",
        "https://ai.google.dev/gemma/terms",
        "Privacy was not tested",
        "near-duplicate within",
        "2 h 44 min",
    ):
        assert said in page.text
    for arm in example.arms_at(50):
        assert f"{arm.decided.f1.mean:.1f}" in page.text


def test_the_page_needs_nothing_from_elsewhere(example):
    html = render_report(example)
    page = Page(html)
    assert not {"script", "link", "img", "iframe", "object", "base", "form"} & set(page.tags)
    assert not [n for n, _ in page.attributes if n.startswith("on") or n in {"src", "srcset"}]
    assert "@import" not in html
    assert "url(" not in html
    addresses = set(re.findall(r"https?://[^\s\"'<)]+", html))
    assert {a.rstrip(".") for a in addresses} == {
        "http://www.w3.org/2000/svg",
        "https://ai.google.dev/gemma/terms",
    }
    csp = [v for n, v in page.attributes if n == "content" and "default-src" in v]
    assert csp == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_attributes_have_a_part_where_students_learnt_some(example, results):
    assert "On mentions found" not in render_report(example)
    with_attributes(results)
    page = Page(render_report(read(results)))
    assert "negated, 44 mentions" in page.text and "84.7" in page.text and "64.6" in page.text
    assert "#attributes" in [v for n, v in page.attributes if n == "href"]


def test_links_go_where_something_is(example):
    page = Page(render_report(example))
    targets = {v[1:] for n, v in page.attributes if n == "href" and v.startswith("#")}
    assert targets <= set(page.ids)
    named = {i for n, v in page.attributes if n == "aria-labelledby" for i in v.split()}
    assert named <= set(page.ids)


def test_hostile_names_are_shown_not_run(results):
    for arm in results["arms"]:
        arm["name"] = arm["name"].replace("synthetic", HOSTILE)
        arm["by_label"] = {HOSTILE: arm["by_label"]["Disease"]}
    for row in results["comparisons"]:
        row["arm"] = row["arm"].replace("synthetic", HOSTILE)
    results |= {
        "candidate": results["candidate"].replace("synthetic", HOSTILE),
        "recipe": HOSTILE,
        "labels": [HOSTILE],
        "lm": {"name": HOSTILE, "licence": HOSTILE, "terms": "javascript:alert(1)"},
        "versions": {HOSTILE: HOSTILE},
        "varied": [HOSTILE],
    }
    results["verdict"]["headline"] = HOSTILE
    results["made"][0]["dropped"] = {HOSTILE: 3}
    page = Page(render_report(read(results)))
    assert not {"script", "img"} & set(page.tags)
    assert not [n for n, _ in page.attributes if n.startswith("on")]
    assert not [v for n, v in page.attributes if n == "href" and v.startswith("javascript")]
    assert HOSTILE in page.text


def test_no_note_text_reaches_the_report(example, examples, tmp_path):
    page = write_report(example, tmp_path, examples=examples)
    assert page == tmp_path / "report.html"
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert {p.suffix for p in written} == {".html", ".csv", ".tex", ".svg", ".md", ".bib"}
    holding = {p.name for p in written if "Quillfeather" in p.read_text("utf-8")}
    assert holding == {"examples.html"}
    assert {p.stat().st_mode & 0o777 for p in written} == {0o600}


def test_examples_are_a_page_of_their_own(example, tmp_path):
    write_report(example, tmp_path)
    assert not (tmp_path / "examples.html").exists()


def test_the_examples_say_what_they_are(examples):
    page = Page(render_examples(examples))
    assert page.stack == []
    assert "Contains note text, do not share." in page.text
    assert PLANTED in page.text
    assert "loop" in page.text
    assert ("class", "e") in page.attributes


def test_hostile_notes_are_shown_not_run():
    text = f"{HOSTILE} {PLANTED} \u202e\x1b[2J"
    doc = gold(text)
    page = Page(render_examples(ExampleSet((doc,), (), (DroppedExample(HOSTILE, text),))))
    assert not {"script", "img"} & set(page.tags)
    assert not [n for n, _ in page.attributes if n.startswith("on")]
    assert HOSTILE in page.text
    assert "\u202e" not in page.text


def test_gold_alone_has_a_page(results):
    gold = next(a for a in results["arms"] if (a["name"], a["size"]) == ("gold", 50))
    bare = {"candidate": None, "comparisons": [], "made": [], "lm": None, "seal": None}
    bare |= {"sizes": [50], "arms": [gold], "verdict": NO_VERDICT.model_dump()}
    bare["learning_curve"] = {"arm": "gold", "scored_on": "test", "sizes": [50], "f1": [60.0]}
    bare["power"] = {"scored_on": "test", "n_documents": 100}
    page = Page(render_report(read(results | bare)))
    assert "There is nothing to compare." in page.text
    assert f"{gold['f1']['mean']:.1f}" in page.text


def test_a_dropped_text_says_what_it_repeats():
    dropped = DroppedExample("repeats gold", PLANTED, None, "<g1>", 0.876)
    page = Page(render_examples(ExampleSet((), (), (dropped,))))
    assert "repeats gold: <g1>, 88% alike" in page.text


def test_an_unfinished_run_says_so(results):
    results["finished"] = {"scored": 3, "planned": 44}
    assert "3 of 44 scores" in Page(render_report(read(results))).text


@pytest.mark.parametrize(
    ("advice", "said"),
    [
        ("use", "Recommendation: use"),
        ("do not use", "Recommendation: do not use"),
        ("label more", "Recommendation: label more"),
        ("underpowered", "Underpowered: this run cannot tell"),
        ("demonstration", "No recommendation: a demonstration"),
        ("no claim", "No recommendation"),
    ],
)
def test_every_recommendation_has_a_badge(results, advice, said):
    results["verdict"]["recommendation"] = advice
    assert said in Page(render_report(read(results))).text


def test_worth_stands_in_hours_where_minutes_are_known(results):
    assert "annotator hours" not in Page(render_report(read(results))).text
    in_hours(results, 12)
    page = Page(render_report(read(results)))
    assert page.stack == []
    # 31, 5 and 85 notes at 12 minutes; 55, 28 and 145 over gold, in the figure and below it.
    assert "6.2 annotator hours [1.0, 17] at 12 minutes a note" in page.text
    assert "or 11 annotator hours [5.6, 29] at 12 minutes a note" in page.text
    assert "+55 notes, 11 h" in page.text


def test_many_labels_and_long_names(results):
    score = {"precision": 50.0, "recall": 50.0, "f1": 50.0, "support": 3}
    for arm in results["arms"]:
        arm["by_label"] = {f"Label_{i}_{'x' * 60}": score for i in range(41)}
    assert "Label_40" in Page(render_report(read(results))).text


def test_learning_from_rewards_is_shown_where_it_ran_and_offered_where_it_did_not(results):
    without = Page(render_report(read(results))).text
    assert 'rl = { method = "grpo" }' in without
    history = [
        {"step": 0, "held_out_reward": 0.4, "held_out_kl": 0.0},
        {"step": 8, "reward": 0.5, "kl": 0.01},
        {"step": 8, "held_out_reward": 0.61, "held_out_kl": 0.012},
    ]
    run = learnt(arm="sft+rl", history=history)
    page = Page(render_report(read({**results, "rl": [run]})))
    assert page.stack == []
    assert "0.400" in page.text
    assert "0.610" in page.text
    assert "0.012" in page.text
    assert 'method = "grpo"' not in page.text


def test_each_generator_has_its_own_figure_of_what_was_kept(results):
    results["made"] = [made(source="sft", kept=6), made(source="sft+rl", kept=9)]
    html = render_report(read(results))
    assert html.index("asked 10, kept 6") < html.index("asked 10, kept 9")
    assert "<h4>sft+rl</h4>" in html
