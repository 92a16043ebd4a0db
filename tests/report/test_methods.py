import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from notesmith.cli.app import app
from notesmith.errors import FileError
from notesmith.report.methods import PaperFacts, draft_methods
from notesmith.report.writing import write_methods, write_report

from .conftest import in_hours, learnt, out_of_draw, read, with_adapted, with_votes

EXAMPLE = Path(__file__).parent / "methods-example.md"
# Table 2 of Gallifant et al., Nature Medicine 31, 60-69 (2025), as printed.
ENTRIES = (
    "1 2 3a 3b 4 5a 5b 5c 5d 5e 6a 6b 6c 6d 6e 7a 7b 7c 7d 7e 8a 8b 8c 9a 9b 10 11 12 13 14a 14b "
    "14c 14d 14e 14f 15 16a 16b 16c 16d 17 18 19a 19b 19c 19d 19e 19f 19g"
).split()
RL = learnt(history=[{"step": 0, "held_out_reward": 0.4}, {"step": 8, "held_out_reward": 0.6}])


def draft(results, **facts):
    return draft_methods(read(results), PaperFacts(**facts))


def methods_of(results, **facts):
    return draft(results, **facts).methods.partition("\n## References")[0]


def answer(methods, number):
    return re.search(rf"^\*\*{number}\*\* .*\n\n> (.*)$", methods, re.MULTILINE).group(1)


def without_language_model(results):
    kept = {"gold", "replaced"}
    for part, name in (("arms", "name"), ("comparisons", "arm")):
        results[part] = [row for row in results[part] if row[name] in kept]
    results["config"]["arm"] = [a for a in results["config"]["arm"] if a["name"] in kept]
    results["config"]["evaluate"]["against"] = {}
    results["stages"] = [s for s in results["stages"] if s["stage"] in ("ner", "evaluate")]
    results |= {"made": [], "lm": None, "candidate": "replaced"}
    return results


def test_the_draft_of_the_example(example):
    # Where it changed on purpose: write ``draft_methods(…).methods`` there, and read the diff.
    assert draft_methods(example).methods == EXAMPLE.read_text("utf-8")


def test_every_entry_of_the_guideline_stands_there_once(results):
    for case in (results, {**results, "rl": [{**RL, "replicate": 0}]}):
        found = re.findall(r"^\*\*(\d+[a-g]?)\*\* ", draft(case).methods, re.MULTILINE)
        assert found == ENTRIES
    bare = draft(without_language_model(results)).methods
    assert re.findall(r"^\*\*(\d+[a-g]?)\*\* ", bare, re.MULTILINE) == ENTRIES
    counted = re.search(r"(\d+) are answered in draft, (\d+) are for the authors, (\d+) do", bare)
    assert sum(map(int, counted.groups())) == len(ENTRIES) == 49


def test_what_was_not_done_is_not_told(results):
    methods = methods_of(without_language_model(results))
    assert "No language model was used" in methods
    for word in ("fine-tuned", "prompt", "Gemma", "rewards", "Made text", "generator's"):
        assert word not in methods
    assert "Privacy of the made text" not in methods


def test_how_made_text_was_weighed_and_completed_is_told_with_its_source(results):
    told, entry = "noise-aware loss", "@inproceedings{jiang2021needle"
    assert told not in methods_of(results) and entry not in draft(results).bibtex
    chosen = results["config"]["ner"]["integration"]
    chosen |= {"loss": "noise-aware", "complete": "midway", "complete_at": 0.4}
    methods = methods_of(results)
    assert "Its words had the noise-aware loss, weighted by the confidence" in methods
    assert (
        "Mentions that it lacked and the student itself, after 0.4 of the steps with made text, "
        "found with a score of 0.9 or more were added, and those of a lower score masked"
    ) in methods
    chosen["complete"] = "before"
    assert "lacked and a student of gold alone found with a score" in methods_of(results)
    assert entry in draft(results).bibtex


def test_rewards_are_told_where_they_were_learnt_from(results):
    assert "rewards" not in methods_of(results)
    results["rl"] = [{**RL, "replicate": r} for r in range(2)]
    for arm in results["config"]["arm"]:
        if arm["name"] == RL["arm"]:
            arm["rl"] = {"kl": 0.1, "lora_rank": 8}
    methods = methods_of(results)
    assert "learnt from rewards by group relative policy optimisation [@shao2024grpo]" in methods
    assert "weight of the Kullback-Leibler penalty 0.1, " in methods
    assert "LoRA rank 8 [@hu2022lora; @peft2022]" in methods
    assert "(mean reward 0.40 before, 0.60 after)" in methods
    assert "0.40 before and 0.60 after" in answer(draft(results).methods, "18")
    assert "no person took part" in answer(draft(results).methods, "11")


def test_the_corpus_is_named_by_its_users_or_left_open(results):
    assert "came from [corpus, version, dates, data use agreement]" in methods_of(results)
    said = methods_of(results, source="discharge notes 2021, agreement 7")
    assert "came from discharge notes 2021, agreement 7." in said
    results["config"]["corpus"]["train"] = "demo:train"
    assert "fictional clinical notes that come with notesmith" in methods_of(results)


def test_the_seal_is_told_as_it_was(results):
    assert "before the test part was opened (SHA-256 begins 3f1c" in methods_of(results)
    results["seal"]["opened"] = 3
    twice = methods_of(results)
    assert "The plan was changed after" in twice
    assert "it was opened 3 times [say why]" in twice
    results |= {"seal": None, "split": "dev"}
    assert "no sealed test part was opened" in methods_of(results)


def test_one_replicate_covers_documents_only(results):
    results["arms"] = [{**arm, "n_replicates": 1} for arm in results["arms"]]
    assert "cover the choice of documents only" in methods_of(results)


def test_hours_are_told_with_their_minutes(results):
    in_hours(results, 12)
    assert "into annotator hours at 12 minutes a note [say how" in methods_of(results)


def test_the_verdict_goes_into_the_discussion(results):
    said = answer(draft(results).methods, "19a")
    assert said.startswith("*To be filled in by the authors.* Recommendation: use synthetic +")
    results["verdict"] |= {"sentences": [], "recommendation": "underpowered"}
    assert "Underpowered: this run cannot tell." in answer(draft(results).methods, "19a")


def test_hostile_names(results):
    name = "x [a](javascript:1) <script> `b` ```"
    results |= {"recipe": name, "labels": [name]}
    results["lm"]["name"] = name
    found = draft(results)
    text = found.methods
    assert "<script>" not in text
    assert "[a](" not in text.replace("\\[a\\](", "")
    assert text.count("```") == 2
    assert "javascript" not in found.bibtex


@pytest.mark.parametrize("out", [None, "paper/draft.md"])
def test_the_command_writes_the_draft_and_the_references(results, tmp_path, out):
    read(results).write(tmp_path)
    path = tmp_path / (out or "methods.md")
    arguments = ["methods", str(tmp_path), "--source", "our notes"]
    done = CliRunner().invoke(app, [*arguments, *(["--out", str(path)] if out else [])])
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(path)
    assert "came from our notes." in path.read_text("utf-8")
    assert (path.parent / "references.bib").read_text("utf-8").startswith("@software{notesmith,")
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_command_without_results(tmp_path):
    done = CliRunner().invoke(app, ["methods", str(tmp_path)])
    assert done.exit_code == 1
    assert "no results.json; finish the run first" in str(done.exception)


def test_a_cross_fit_is_told_as_one(results):
    corpus = {"train": results["corpus"]["train"]}
    results |= {"split": "out-of-fold", "varied": ["division into folds"], "corpus": corpus}
    results["config"]["evaluate"] |= {"protocol": "cross-fit", "folds": 5}
    del results["config"]["corpus"]["dev"], results["config"]["corpus"]["test"]
    text = " ".join(methods_of(results).split())
    assert "There was no test set." in text and "into 5 folds" in text
    assert "test part" not in text and "drawn at random from the train part" not in text


def test_documents_out_of_the_draw_are_in_the_methods(results):
    said = methods_of(out_of_draw(results))
    assert "of the train part that a draw had not used" in said
    assert "since there were 542 of them for each draw and 100 of the test part" in said


def test_the_fixed_sequence_is_in_the_methods(results):
    said = methods_of(results)
    assert (
        "tested against replaced first and against gold only if it was better, each at 0.05" in said
    )
    assert "p values of the other comparisons were corrected for their number by Holm" in said


def test_votes_are_in_the_methods(results):
    assert "averaged" not in methods_of(results)
    said = methods_of(with_votes(results))
    assert "5 students were trained that differed in their seed alone" in said
    assert "- gold, votes: gold alone, vote of 5 students; 5 replicates." in said
    assert (
        "tested against replaced first, against gold only if it was better and against gold, votes "
        "only if it was better in both, each at 0.05; in this fixed sequence no test needs"
    ) in said


def test_adaptation_is_in_the_methods(results):
    assert "masked language model" not in methods_of(results)
    said = methods_of(with_adapted(results))
    assert "on 300 notes without labels and the texts of 50 gold documents" in said
    assert "Words were masked whole (share 15%) [@gururangan2020dont], in blocks of 128" in said
    assert said.count(", adapted encoder; 5 replicates.") == 1


def test_one_draw_of_several_students_is_in_the_methods(results):
    for row in results["comparisons"]:
        row |= {"n_replicates": 1, "n_students": 5, "spread_of": "students"}
    for arm in results["arms"]:
        arm["n_replicates"] = 1
    said = methods_of(results)
    assert "There was one draw of gold with 5 students an arm" in said
    assert "they do not cover other draws" in said


def test_a_draft_that_was_edited_is_its_authors(example, tmp_path, caplog):
    path = write_methods(example, tmp_path / "methods.md")
    as_written = path.read_text()
    assert write_methods(example, path).read_text() == as_written
    path.write_text(f"{as_written}Our own sentence.\n")
    with pytest.raises(FileError, match="was edited; move it away, or name another file"):
        write_methods(example, path)
    write_report(example, tmp_path)
    assert path.read_text().endswith("Our own sentence.\n")
    assert "was edited and is left as it is" in caplog.text
