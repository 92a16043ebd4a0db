from notesmith.document import Document, Entity
from notesmith.init.advice import BUILT, advise
from notesmith.init.profile import look


def notes(n, names, labels=("Problem",), n_empty=0):
    """``n`` notes of one mention, of ``names`` names and the labels in turn, and empty ones."""
    found = []
    for i in range(n):
        name = f"finding{i % names}"
        ent = Entity("T1", labels[i % len(labels)], ((0, len(name)),))
        found.append(Document(f"d{i}", f"{name} was seen.", (ent,)))
    return [*found, *(Document(f"e{i}", "Nothing was seen.") for i in range(n_empty))]


def fits(docs):
    return {each.system: each.fits for each in advise(look(docs))}


def why(docs, system):
    return next(each.words for each in advise(look(docs)) if each.system == system)


def test_few_notes_call_for_synthesize():
    assert fits(notes(100, 100)) == {"synthesize": "yes", "annotate": "perhaps", "augment": "no"}
    assert why(notes(100, 100), "synthesize").startswith(
        "synthesize: yes. 100 labelled notes are few"
    )


def test_many_notes_do_not_and_with_many_labels_it_is_open():
    assert fits(notes(101, 101))["synthesize"] == "no"
    assert "101 labelled notes are not few" in why(notes(101, 101), "synthesize")
    many = notes(40, 40, labels=[f"L{i}" for i in range(10)])
    assert why(many, "synthesize").startswith("synthesize: perhaps. There are 10 labels")


def test_more_notes_without_a_mention_than_with_one_call_for_annotate():
    assert fits(notes(10, 10, n_empty=10))["annotate"] == "perhaps"
    docs = notes(10, 10, n_empty=11)
    assert fits(docs)["annotate"] == "yes"
    assert why(docs, "annotate").startswith("annotate: yes. 11 of 21 documents hold no mention")


def test_names_that_come_again_and_again_call_for_augment():
    assert fits(notes(40, 10))["augment"] == "yes"
    assert why(notes(40, 10), "augment").startswith(
        "augment: yes, but it is not built yet. Problem has 10 names in 40 mentions"
    )
    assert fits(notes(40, 11))["augment"] == "no"
    # Of a label with fewer than twenty mentions nothing is said.
    assert why(notes(19, 1), "augment") == (
        "augment: no. No label has the 20 mentions to judge variety by."
    )


def test_what_fits_no_corpus_is_not_promised():
    assert {"synthesize", "annotate"} == BUILT
    assert "not built" not in why(notes(40, 40), "augment")
