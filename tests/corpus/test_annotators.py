import json

import pytest

from notesmith.config import ReadingConfig
from notesmith.corpus import write_corpus
from notesmith.corpus.annotators import Place, read_annotators
from notesmith.errors import ConfigError, CorpusError
from tests.corpus.marked import TEXT, reading


def brat(folder, *mentions):
    write_corpus([reading(*mentions)], folder, format="brat")
    return Place(folder)


def sizes(read):
    return {who: [(d.id, len(d.entities)) for d in docs] for who, docs in read.docs.items()}


def export(tmp_path, *annotations):
    """A Label Studio task with one annotation an argument: who, mentions, ground truth."""
    path = tmp_path / "export.json"
    write_corpus([reading()], path, format="label-studio")
    (task,) = json.loads(path.read_text())
    task["annotations"] = []
    for who, words, is_truth in annotations:
        start = TEXT.index(words)
        value = {"start": start, "end": start + len(words), "labels": ["P"]}
        result = {"from_name": "label", "to_name": "text", "type": "labels", "value": value}
        said = {"completed_by": who} if who else {}
        task["annotations"].append({"result": [result], "ground_truth": is_truth, **said})
    path.write_text(json.dumps([task]))
    return Place(path)


def test_a_folder_an_annotator(tmp_path):
    places = [brat(tmp_path / "ann", "P:one"), brat(tmp_path / "ben")]
    assert sizes(read_annotators(places)) == {"ann": [("n", 1)], "ben": [("n", 0)]}
    assert list(read_annotators(places, only=["ben"]).docs) == ["ben"]
    with pytest.raises(ConfigError, match="no annotator 'zoe'; there are ann, ben"):
        read_annotators(places, only=["zoe"])


def test_folders_of_one_name_are_told_apart_by_their_paths_or_named(tmp_path):
    places = [brat(tmp_path / who / "notes", "P:one") for who in ("ann", "ben")]
    assert list(read_annotators(places).docs) == [str(place.path) for place in places]
    named = [Place(place.path, place.path.parent.name) for place in places]
    assert list(read_annotators(named).docs) == ["ann", "ben"]


def test_a_file_of_several(tmp_path):
    place = export(tmp_path, ("a@x.org", "one", False), (7, "two", True))
    read = read_annotators([place])
    assert sizes(read) == {"7": [("n", 1)], "a@x.org": [("n", 1)]}
    assert read.truth["n"].mentions() == ["two"]
    with pytest.raises(ConfigError, match=r"holds the labels of 7, a@x\.org; give it without"):
        read_annotators([Place(place.path, "both")])


def test_two_ground_truths_are_none(tmp_path):
    assert not read_annotators([export(tmp_path, (1, "one", True), (2, "two", True))]).truth


def test_an_annotation_without_a_name_takes_the_path_s(tmp_path):
    assert list(read_annotators([export(tmp_path, (None, "one", False))]).docs) == ["export"]


def test_metadata_names_the_annotator_and_files_of_one_are_joined(tmp_path):
    for name, doc_id in (("x", "1"), ("y", "2")):
        docs = [reading("P:two", doc_id=doc_id, annotator="ann")]
        write_corpus(docs, tmp_path / f"{name}.jsonl")
    places = [Place(tmp_path / "x.jsonl"), Place(tmp_path / "y.jsonl")]
    assert sizes(read_annotators(places)) == {"ann": [("1", 1), ("2", 1)]}
    write_corpus([reading("P:one", doc_id="1", annotator="ann")], tmp_path / "y.jsonl")
    with pytest.raises(CorpusError, match="doc '1' stands twice with different content"):
        read_annotators(places)


def test_nobody_has_marked_a_mention(tmp_path):
    places = [brat(tmp_path / "ann"), brat(tmp_path / "ben")]
    with pytest.raises(CorpusError, match="ann: no annotator has marked a mention; name the lab"):
        read_annotators(places)
    read = read_annotators(places, ReadingConfig(without_mentions=True))
    assert sizes(read) == {"ann": [("n", 0)], "ben": [("n", 0)]}


def test_labels_are_mapped_for_every_annotator(tmp_path):
    place = export(tmp_path, (1, "one", False), (2, "two", True))
    read = read_annotators([place], ReadingConfig(label_map={"P": "Problem"}))
    docs = [*read.docs["1"], *read.docs["2"], *read.truth.values()]
    assert [doc.labels for doc in docs] == [{"Problem"}] * 3
