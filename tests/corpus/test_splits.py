import pytest
from hypothesis import given
from hypothesis import strategies as st

from notesmith.corpus.splits import find_splits, folds, part_named, split_corpus
from notesmith.document import Document
from notesmith.errors import ConfigError, CorpusError


def corpus(n_patients, notes_each=2, kinds=("letter", "summary")):
    return [
        Document(f"n{p}-{i}", "x", metadata={"patient": f"p{p}", "kind": kinds[i % len(kinds)]})
        for p in range(n_patients)
        for i in range(notes_each)
    ]


def ids(parts):
    return {name: [d.id for d in docs] for name, docs in parts.items()}


def test_ratios_are_met_where_groups_allow():
    made = split_corpus(corpus(20), seed=1)
    assert {name: len(docs) for name, docs in made.parts.items()} == {
        "train": 28,
        "dev": 6,
        "test": 6,
    }
    assert made.n_groups == {"train": 14, "dev": 3, "test": 3}
    assert made.n_ungrouped == 0


@given(
    st.lists(st.integers(0, 6), min_size=3, max_size=25), st.integers(0, 9), st.sampled_from([2, 3])
)
def test_no_patient_on_two_sides_and_nothing_lost(patients, seed, n):
    docs = [Document(f"n{i}", "x", metadata={"patient": p}) for i, p in enumerate(patients)]
    ratios = dict(zip(["a", "b", "c"][:n], [0.5, 0.3, 0.2][:n], strict=True))
    if len(set(patients)) < n:
        with pytest.raises(CorpusError, match="cannot fill"):
            split_corpus(docs, ratios=ratios, seed=seed)
        return
    made = split_corpus(docs, ratios=ratios, seed=seed)
    assert sorted(d.id for part in made.parts.values() for d in part) == sorted(d.id for d in docs)
    sides = [{d.metadata["patient"] for d in part} for part in made.parts.values()]
    assert all(sides)
    assert sum(len(side) for side in sides) == len(set(patients))


def test_the_seed_decides_and_the_order_of_input_does_not():
    docs = corpus(12)
    first = ids(split_corpus(docs, seed=1).parts)
    assert ids(split_corpus(docs, seed=1).parts) == first
    assert ids(split_corpus(docs, seed=2).parts) != first
    turned = ids(split_corpus(docs[::-1], seed=1).parts)
    assert {name: sorted(found) for name, found in turned.items()} == {
        name: sorted(found) for name, found in first.items()
    }


def test_kinds_are_spread_evenly():
    docs = [
        Document(f"n{i}", f"Note {i}.", metadata={"kind": "letter" if i % 4 else "rare"})
        for i in range(40)
    ]
    made = split_corpus(docs, ratios={"train": 1, "test": 1}, seed=3)
    assert made.n_ungrouped == 40
    rare = {
        name: sum(d.metadata["kind"] == "rare" for d in part) for name, part in made.parts.items()
    }
    assert rare == {"train": 5, "test": 5}


def test_folds_are_even_and_whole():
    made = folds(corpus(10), 5, seed=0)
    assert [len(fold) for fold in made] == [4] * 5
    assert [len({d.metadata["patient"] for d in fold}) for fold in made] == [2] * 5


def test_bad_ratios_are_refused():
    with pytest.raises(ConfigError, match="above 0"):
        split_corpus(corpus(4), ratios={"train": 1, "test": 0}, seed=1)


def test_splits_are_found_by_name(tmp_path):
    for name in ("My_TrainingSet.txt", "devel", "a-test.tsv", "README.md", "train.json", "notes"):
        (tmp_path / name).mkdir()
    found = find_splits(tmp_path)
    assert {part: path.name for part, path in found.items()} == {
        "train": "My_TrainingSet.txt",
        "dev": "devel",
        "test": "a-test.tsv",
    }
    assert find_splits(tmp_path / "notes") == {}
    assert find_splits(tmp_path / "absent") == {}


def test_two_entries_for_one_part_are_an_error(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train.jsonl").touch()
    with pytest.raises(CorpusError, match=r"train and train\.jsonl could both be train"):
        find_splits(tmp_path)


def test_notes_of_brat_are_no_parts(tmp_path):
    for name in ("latest-1", "latest-2", "device-1", "training-1"):
        (tmp_path / f"{name}.txt").write_text("Note.")
        (tmp_path / f"{name}.ann").write_text("")
    assert find_splits(tmp_path) == {}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("train.conll", "train"),
        ("NCBItrainset_corpus.txt", "train"),
        ("CDR_DevelopmentSet.PubTator.txt", "dev"),
        ("NCBIdevelopset_corpus.txt", "dev"),
        ("validation-00000-of-00001.parquet", "dev"),
        ("val", "dev"),
        ("TESTset", "test"),
        ("n2c2_2018_test_2.txt", "test"),
        ("latest.txt", None),
        ("Contestants.txt", None),
        ("device-7.txt", None),
        ("constraint.txt", None),
        ("attestation-letters", None),
        ("invalid.conll", None),
        ("train_dev.tsv", None),  # both together
    ],
)
def test_a_part_is_a_whole_word_of_a_name(name, part):
    assert part_named(name) == part


def test_marked_notes_whose_names_hold_a_part_are_no_parts(tmp_path):
    for name in ("latest-1.txt", "latest-2.txt", "trainee-1.txt", "protest-1.txt"):
        (tmp_path / name).write_text("id: n1\n---\nNote.")
    assert find_splits(tmp_path) == {}
    for name in ("stress-test-1.txt", "stress-test-2.txt"):
        (tmp_path / name).write_text("id: n1\n---\nNote.")
    assert find_splits(tmp_path) == {}
    (tmp_path / "train.txt").write_text("id: n1\n---\nNote.")
    with pytest.raises(CorpusError, match=r"stress-test-1\.txt and stress-test-2\.txt could both"):
        find_splits(tmp_path)


def test_notes_of_one_text_and_no_patient_stay_together():
    docs = [Document(f"n{i}", f"Note {i // 2}.\n" + " " * (i % 2)) for i in range(20)]
    made = split_corpus(docs, seed=1)
    sides = [{doc.text.strip() for doc in part} for part in made.parts.values()]
    assert sum(map(len, sides)) == 10 == sum(made.n_groups.values())
    assert made.n_ungrouped == 20
