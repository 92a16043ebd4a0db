import json
import re
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.corpus import write_corpus
from notesmith.document import Document, Entity, Provenance
from notesmith.errors import StageError

TEXT = "Gout and asthma today."


def doc(i, *labels, patient=None):
    spans = {"Disease": (0, 4), "Asthma": (9, 15)}
    ents = tuple(Entity(f"T{n}", "Disease", (spans[x],)) for n, x in enumerate(labels))
    return Document(f"n{i}", TEXT, ents, metadata={} if patient is None else {"patient": patient})


@pytest.fixture
def files(tmp_path):
    sets = {
        "gold": [doc(i, "Disease", "Asthma") for i in range(20)],
        "half": [doc(i, "Disease") for i in range(20)],
        "full": [doc(i, "Disease", "Asthma") for i in range(20)],
        "train": [doc(99, "Disease")],
    }
    for name, docs in sets.items():
        write_corpus(docs, tmp_path / f"{name}.jsonl")
    return {name: str(tmp_path / f"{name}.jsonl") for name in sets}


def call(*arguments):
    result = CliRunner().invoke(app, [*arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_evaluate_scores_strict_and_unseen(files):
    output = call("evaluate", files["gold"], files["half"], "--seen", files["train"], "--json")
    found = json.loads(output)
    views = {row["part"]: row for row in found["views"]}
    # Gout is right 20 times, asthma missed 20 times: P 100, R 50, F1 2/3.
    assert (views["strict"]["precision"], views["strict"]["recall"]) == (100.0, 50.0)
    assert views["strict"]["f1"] == pytest.approx(66.667)
    assert views["seen"]["f1"] == 100.0
    assert (views["unseen"]["tp"], views["unseen"]["fn"]) == (0, 20)
    assert found["labels"][0]["part"] == "Disease"
    assert found["n_documents"] == 20


def test_finds_in_masked_text_are_left_out_and_counted(files, tmp_path):
    gold = [replace(doc(i, "Disease"), masked=((5, 15),)) for i in range(20)]
    write_corpus(gold, tmp_path / "masked.jsonl")
    arguments = ("evaluate", str(tmp_path / "masked.jsonl"), files["full"])
    found = json.loads(call(*arguments, "--seen", files["train"], "--json"))
    for row in (*found["views"], *found["labels"]):
        tp = 0 if row["part"] == "unseen" else 20
        assert (row["tp"], row["fp"], row["fn"]) == (tp, 0, 0)
    said = "0 gold mentions and 20 predictions touch masked text"
    assert any(notice.startswith(said) for notice in found["notices"])
    assert said in " ".join(call(*arguments).split())
    compared = " ".join(call(*arguments, files["half"]).split())
    assert "20 first predictions touch masked text" in compared
    assert "second predictions" not in compared


def test_evaluate_without_training_data_says_nothing_of_unseen(files):
    output = call("evaluate", files["gold"], files["half"])
    assert "unseen" not in output
    assert re.search(r"strict +100\.0 +50\.0 +66\.7 +66\.7 to 66\.7 +20 +0 +20", output)
    assert "Gout" not in output


def test_evaluate_scores_attributes_where_predictions_have_them(files, tmp_path):
    assert json.loads(call("evaluate", files["gold"], files["half"], "--json"))["attributes"] == []

    def negated(which, n):
        docs = [doc(i, *which) for i in range(20)]
        for i, d in enumerate(docs[:n]):
            first = replace(d.entities[0], attributes=("negated",))
            docs[i] = replace(d, entities=(first, *d.entities[1:]))
        return docs

    gold, predicted = str(tmp_path / "g.jsonl"), str(tmp_path / "p.jsonl")
    write_corpus(negated(["Disease", "Asthma"], 20), gold)
    write_corpus([*negated(["Disease"], 10)[:15], *negated(["Asthma"], 0)[15:]], predicted)
    # 20 are negated; 15 of them found, 10 of those as negated.
    found = json.loads(call("evaluate", gold, predicted, "--json"))["attributes"]
    assert [row["name"] for row in found] == ["negated"]
    counts = [
        [found[0][part][n] for n in ("tp", "fp", "fn")] for part in ("on_found", "end_to_end")
    ]
    assert counts == [[10, 0, 5], [10, 0, 10]]
    output = call("evaluate", gold, predicted)
    assert re.search(r"negated \(found\) +100\.0 +66\.7 +80\.0 .* 10 +0 +5", output)
    assert re.search(r"negated \(end to end\) +100\.0 +50\.0 +66\.7 .* 10 +0 +10", output)


@pytest.fixture
def rare(tmp_path):
    """A label in 3 of 100 documents: gold, and predictions that find all of it and little else."""

    def docs(spans, rest):
        return [
            Document(f"n{i}", TEXT, tuple(Entity(f"T{n}", *ent) for n, ent in enumerate(ents)))
            for i, ents in enumerate([spans] * 3 + [rest] * 97)
        ]

    both, one = [("Disease", ((0, 4),)), ("Rare", ((9, 15),))], [("Disease", ((0, 4),))]
    write_corpus(docs(both, one), tmp_path / "gold.jsonl")
    write_corpus(docs(both, []), tmp_path / "pred.jsonl")
    write_corpus(docs([], []), tmp_path / "none.jsonl")
    return [str(tmp_path / f"{name}.jsonl") for name in ("gold", "pred", "none")]


def test_a_perfect_rare_label_is_perfect_in_every_resample_that_holds_it(rare):
    gold, predicted, _ = rare
    found = json.loads(call("evaluate", gold, predicted, "--json"))
    label = next(row for row in found["labels"] if row["part"] == "Rare")
    assert (label["f1"], label["f1_low"], label["f1_high"]) == (100.0, 100.0, 100.0)
    # (0.97)^100 = 4.8%.
    assert label["left_out_ratio"] == pytest.approx(0.048, abs=0.006)
    output = call("evaluate", gold, predicted)
    assert re.search(
        r"Resamples that hold no gold mention of a label are left out of its interval: Rare 4\.\d%",
        output,
    )
    assert "too few for an interval: Rare (3)." in output
    assert re.search(r"Rare +100\.0 +100\.0 +100\.0 +too few +3 +0 +0", output)
    output = call("evaluate", gold, predicted, predicted)
    assert "its interval: Rare 4." in output
    assert re.search(r"Rare +100\.0 +100\.0 +\+0\.0 +too few", output)


def test_macro_stands_beside_micro(rare):
    gold, predicted, _ = rare
    found = json.loads(call("evaluate", gold, predicted, "--json"))
    # Disease: 3 of 100 found, F1 = 6 / 103; Rare: all.
    assert found["macro"]["f1"] == pytest.approx(100 * (6 / 103 + 1) / 2, abs=0.001)
    assert found["macro"]["recall"] == 51.5
    assert found["macro"]["n_with"] == 3
    output = call("evaluate", gold, predicted)
    assert re.search(r"macro +100\.0 +51\.5 +52\.9 +too few\s", output)
    found = json.loads(call("evaluate", gold, gold, predicted, "--json"))
    assert found["macro"]["delta"] == pytest.approx(52.913 - 100, abs=0.001)


def test_the_interval_of_macro_is_of_resamples_that_hold_every_label(tmp_path):
    ents = (Entity("T1", "A", ((0, 4),)), Entity("T2", "B", ((9, 15),)))
    gold = [Document(f"n{i}", TEXT, ents if i < 12 else ents[:1]) for i in range(60)]
    write_corpus(gold, tmp_path / "g.jsonl")
    write_corpus([replace(d, entities=ents[:1]) for d in gold], tmp_path / "p.jsonl")
    found = json.loads(call("evaluate", *(str(tmp_path / f"{x}.jsonl") for x in "gp"), "--json"))
    macro = found["macro"]
    assert (macro["f1"], macro["f1_low"], macro["f1_high"]) == (50.0, 50.0, 50.0)


def test_predictions_without_a_mention_are_named(rare):
    gold, predicted, none = rare
    assert "The predictions hold no mention at all." in call("evaluate", gold, none)
    assert "The second predictions hold no mention at all." in call(
        "evaluate", gold, predicted, none
    )


def test_of_two_it_says_which_is_higher_and_what_that_cannot_show(files):
    output = call("evaluate", files["gold"], files["half"], files["full"])
    # 100 - 66.7, the same on every document; p = 2 / 10001.
    *_, sentence, limits = output.splitlines()
    assert sentence == (
        "full.jsonl scores higher than half.jsonl: +33.3 F1 [+33.3, +33.3], p = 0.0002 over 20 "
        "documents."
    )
    assert "one draw of gold and one seed" in limits and "notesmith run" in limits
    assert re.search(r"strict +66\.7 +100\.0 +\+33\.3 +\+33\.3 to \+33\.3 +0\.0002", output)
    assert re.search(r"Disease +66\.7 +100\.0 +\+33\.3", output)


def test_of_two_mentions_unseen_in_training_are_compared_apart(files):
    output = call(
        *("evaluate", files["gold"], files["half"], files["full"], "--json"),
        *("--seen", files["train"]),
    )
    found = json.loads(output)
    views = {row["part"]: (row["f1_first"], row["f1_second"]) for row in found["views"]}
    assert views["unseen"] == (0.0, 100.0) and views["seen"] == (100.0, 100.0)
    assert "one seed" in found["cannot_show"]


def test_scored_documents_that_were_trained_on_are_named(files, tmp_path):
    gout = (Entity("T1", "Disease", ((0, 4),)),)
    made = Document("made", "Gout.", gout, provenance=Provenance("synthetic", ("n3:0-4",)))
    same = replace(doc(4), id="other")
    write_corpus([made, same, replace(doc(99), text=f"{TEXT} More.")], tmp_path / "used.jsonl")
    used = ("--seen", str(tmp_path / "used.jsonl"))
    # All twenty have one text.
    said = "20 of 20 documents are in the training data, or documents in it were made of them"
    for predicted in ([files["half"]], [files["half"], files["full"]]):
        assert said in call("evaluate", files["gold"], *predicted, *used).replace("\n", " ")
    write_corpus([made], tmp_path / "used.jsonl")
    assert "1 of 20 documents" in call("evaluate", files["gold"], files["half"], *used)
    # The parent may as well be the document of that id which was trained on.
    write_corpus([made, Document("n3", "Another text.")], tmp_path / "used.jsonl")
    assert "of 20 documents" not in call("evaluate", files["gold"], files["half"], *used)


def test_equal_predictions_show_no_difference(files):
    found = json.loads(call("evaluate", files["gold"], files["half"], files["half"], "--json"))
    assert [row["part"] for row in found["views"]] == ["strict", "lenient"]
    assert found["views"][0]["delta"] == 0
    assert found["views"][0]["p"] == 1
    assert found["sentence"].startswith("No difference shown")


def test_a_second_set_of_other_documents_is_an_error(files):
    said = (
        "the second predictions lack 20 documents of gold: 'n0', 'n1', 'n2', 'n3', 'n4' and 15 "
        "more; the second predictions have 1 document that gold lacks: 'n99'; give both sides"
    )
    with pytest.raises(StageError, match=re.escape(said)):
        call("evaluate", files["gold"], files["half"], files["train"])
