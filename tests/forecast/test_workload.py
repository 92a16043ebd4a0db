from dataclasses import replace

import pytest

from notesmith.config import RecipeConfig
from notesmith.experiment.cost import Amount, CorpusStats, SplitStats, TrainStats, UnitStats
from notesmith.experiment.draw import Fingerprints
from notesmith.experiment.plan import make_plan
from notesmith.findings import OUT_OF_DRAW
from notesmith.forecast.corpus_stats import train_stats
from notesmith.forecast.speeds import LmSpeeds, Speeds, StudentSpeeds
from notesmith.forecast.workload import seconds_of, total_seconds
from tests.experiment.doubles import note, tiny_recipe

SPEEDS = Speeds(
    LmSpeeds(sampled=10, trained=5, scored=2, tokens_per_word=2.0, load=3, folder=1),
    StudentSpeeds(trained=20, read=40, pieces_per_word=1.5, load=1, folder=1),
)
PATHS = {"train": "train.jsonl", "dev": "dev.jsonl", "test": "test.jsonl"}
# Ten documents with two sentences of ten words; prompts of five words.
TRAIN = TrainStats(
    SplitStats(10, 200, {"Sign": 20, "Test": 20}, {"Sign": 8, "Test": 2}),
    UnitStats((10,) * 20, 100, 15),
    UnitStats((10,) * 20),
)
CORPUS = CorpusStats(TRAIN, {"test": SplitStats(4, 80, {"Sign": 4})})


def cells(stage, **changes):
    values = {"draws": {"sizes": [5], "replicates": 1, "curve": []}, **changes}
    plan = make_plan(tiny_recipe(PATHS, **values), Fingerprints(train="a", dev="b", test="c"))
    found = {c.key: c for target in plan.cells for c in target.walk() if c.stage.name == stage}
    return list(found.values())


def test_seconds_are_work_over_speed():
    amount = Amount(sampled=10, trained=5, scored=4, lms=1, seconds=0.5)
    assert seconds_of(amount, SPEEDS) == 0.5 + (10 / 10 + 5 / 5) * 2.0 + 4 / 2 + 3
    assert seconds_of(Amount(learnt=20, read=40, students=2, seconds=0), SPEEDS) == 2 * 1.5 + 2


def test_an_unknown_speed_is_an_unknown_time():
    assert seconds_of(Amount(lms=1), Speeds()) is None
    assert seconds_of(Amount(students=1), Speeds(lm=SPEEDS.lm)) is None
    assert seconds_of(Amount(seconds=2), Speeds()) == 2


def test_fine_tuning_is_examples_copies_and_looks_at_the_part_held_out():
    (cell,) = cells("sft", sft={"epochs": 2.0, "replaced_copies": 1, "dev_ratio": 0.1})
    # Half of the documents: 100 words and 50 of prompts, a tenth of it held out; five looks.
    assert cell.amount(CORPUS).trained == pytest.approx(150 * 0.9 * 2 * 2 + 150 * 0.1 * 5 / 3)


def test_sampling_is_texts_asked_for():
    (cell,) = cells("sample", synthesize={"units": 8, "names": {"proposals": 12}})
    assert cell.amount(CORPUS).sampled == 8 * 10
    (cell,) = cells("sample", synthesize={"units_per_gold": 2.0})
    assert cell.amount(CORPUS).sampled == 2 * 10 * 10


def test_no_text_is_asked_for_that_is_too_short():
    train = TrainStats(TRAIN.split, UnitStats((2,) * 10 + (12,) * 10, 100, 17), TRAIN.read)
    (cell,) = cells("sample", synthesize={"units": 8})
    assert cell.amount(CorpusStats(train, {})).sampled == 8 * 12


def test_names_of_rare_labels_are_not_proposed():
    (cell,) = cells("names", synthesize={"names": {"proposals": 12}})
    amount = cell.amount(CORPUS)
    assert amount.sampled == pytest.approx(2 * 48 / 1.5)  # two lists of one label
    assert amount.scored == pytest.approx(0.8 * 12 * 7)


def test_students_learn_steps_and_read_what_is_scored():
    assert {c.amount(CORPUS).learnt for c in cells("ner")} == {3 * 4 * 10}
    scored = {c.config.scored.split: c.amount(CORPUS).read for c in cells("score")}
    assert scored == {"test": 80, "dev": 0, OUT_OF_DRAW: 0}


def test_a_student_of_gold_that_completes_made_text_is_a_second_training():
    ner = {"integration": {"complete": "before"}}
    plain, completed = (
        {cell.arm: cell.amount(CORPUS) for cell in cells("ner", ner=own)} for own in ({}, ner)
    )
    assert plain.keys() == completed.keys() and len(plain) > 1
    for arm, amount in completed.items():
        n = 1 if arm == "gold" else 2
        assert (amount.learnt, amount.students) == (n * plain[arm].learnt, n)
        assert amount.saved_students == 1


def test_students_read_what_their_draw_left_of_the_sample():
    sample = replace(CORPUS, held_out={OUT_OF_DRAW: SplitStats(9, 180, {"Sign": 9})})
    beyond = [cell for cell in cells("score") if cell.config.scored.split == OUT_OF_DRAW]
    # Five of train's ten documents are drawn.
    assert {cell.amount(sample).read for cell in beyond} == {90}


@pytest.mark.parametrize("method", ["grpo", "dpo", "best-of-n"])
def test_learning_from_rewards_takes_more_than_fine_tuning(method):
    arms = [{"name": "gold"}, {"name": "rl", "made": ["synthetic"], "rl": {"method": method}}]
    values = tiny_recipe(PATHS).model_dump(mode="json", exclude_none=True)
    values |= {"arm": arms, "evaluate": {}, "draws": {"sizes": [5], "replicates": 1}}
    plan = make_plan(RecipeConfig.model_validate(values), Fingerprints(train="a", test="c"))
    seconds = {
        c.stage.name: seconds_of(c.amount(CORPUS), SPEEDS) for t in plan.cells for c in t.walk()
    }
    assert seconds["rl"] > seconds["sft"] and seconds["committee"] > seconds["ner"]


def test_best_of_four_samples_four_times_and_is_judged():
    arms = [{"name": "gold"}, {"name": "best", "made": ["synthetic"], "best_of": 4}]
    values = tiny_recipe(PATHS).model_dump(mode="json", exclude_none=True)
    values |= {"arm": arms, "evaluate": {}}
    plan = make_plan(RecipeConfig.model_validate(values), Fingerprints(train="a", test="c"))
    sample = next(c for t in plan.cells for c in t.walk() if c.stage.name == "sample")
    amount = sample.amount(CORPUS)
    assert (amount.sampled, amount.read, amount.lms) == (8 * 4 * 10, 3 * 8 * 4 * 10, 2)


def test_a_cell_that_many_targets_share_counts_once():
    (cell,) = cells("draw")
    assert total_seconds([cell, cell], CORPUS, SPEEDS) == seconds_of(Amount(), SPEEDS)


def test_facts_of_train():
    facts = train_stats([note("train", i) for i in range(4)], tiny_recipe(PATHS))
    assert facts.split.labels == {"Sign": 4, "Test": 4} and len(facts.split.patients) == 2
    assert facts.written.n == facts.read.n == 12  # three sentences a note
    assert facts.written.words == facts.split.n_words
    assert facts.written.longest > max(facts.written.lengths)


def test_every_student_that_votes_reads_what_is_scored():
    arms = [{"name": "gold"}, {"name": "gold, votes", "votes": 3}]
    found = {
        cell.arm: cell.amount(CORPUS)
        for cell in cells("score", arm=arms, evaluate={"against": {}})
        if cell.config.scored.split == "test"
    }
    assert (found["gold"].read, found["gold"].students) == (80, 1)
    assert (found["gold, votes"].read, found["gold, votes"].students) == (3 * 80, 3)
    (kept,) = cells("votes", arm=arms, evaluate={"against": {}})
    assert kept.amount(CORPUS).saved_students == 3
