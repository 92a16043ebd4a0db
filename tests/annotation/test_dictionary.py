"""A dictionary of gold and listed names: what matches, how sure it is, and what is left out."""

from __future__ import annotations

from dataclasses import replace

import pytest

from notesmith.annotation.dictionary import Dictionary, build_dictionary
from notesmith.annotation.trie import Form, Trie
from notesmith.config import DictionaryConfig
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError
from notesmith.ner.decode import score_of
from notesmith.ner.votes import Votes
from notesmith.progress import Progress

LABELS = ("Disease", "Drug")
PLAIN = DictionaryConfig()


def marked(doc_id: str, text: str, **mentions: str) -> Document:
    """A document in which the first place of each mention has the label that is its keyword."""
    found = [
        Entity(f"T{i}", label, ((at := text.index(mention), at + len(mention)),))
        for i, (label, mention) in enumerate(mentions.items())
    ]
    return Document(doc_id, text, tuple(found))


def spotted(dictionary: Dictionary, text: str) -> list[tuple[str, str]]:
    (doc,) = dictionary.find([Document("n", text)])
    return [(ent.label, ent.mention(text)) for ent in doc.entities]


def of_names(*names: str) -> Dictionary:
    return build_dictionary([], {"Disease": names}, LABELS, PLAIN)


def test_the_longest_name_of_whole_words_wins() -> None:
    names = of_names("breast cancer", "cancer", "breast cancer syndrome type two")
    text = "Breast  cancer syndrome, cancer and cancerous breast\ncancer."
    assert spotted(names, text) == [
        ("Disease", "Breast  cancer"),
        ("Disease", "cancer"),
        ("Disease", "breast\ncancer"),
    ]


def test_case_and_hyphens_are_folded_in_long_names_alone() -> None:
    names = of_names("Ataxia-telangiectasia", "ALL", "gout", "COPD GOLD")
    text = (
        "ataxia telangiectasia, all, ALL, Gout, gout, copd gold, COPD GOLD, ATAXIA–Telangiectasia"
    )
    assert [mention for _, mention in spotted(names, text)] == [
        "ataxia telangiectasia",
        "ALL",
        "gout",
        "COPD GOLD",
        "ATAXIA–Telangiectasia",
    ]


def test_composed_and_decomposed_spelling_are_one_name() -> None:
    assert [m for _, m in spotted(of_names("Sjögren syndrome"), "Sjo\u0308gren syndrome")]


def test_confidence_is_the_precision_of_a_name_in_other_documents() -> None:
    gold = [
        marked("a", "Has lupus nephritis.", Disease="lupus nephritis"),
        marked("b", "Had lupus nephritis.", Disease="lupus nephritis"),
        marked("c", "No lupus nephritis.", Disease="lupus nephritis"),
        Document("d", "The lupus nephritis clinic."),
        marked("e", "Known psoriasis, and psoriasis again.", Disease="psoriasis"),
    ]
    names = {name.name: name for name in build_dictionary(gold, {}, LABELS, PLAIN).names}
    lupus, psoriasis = names["lupus nephritis"], names["psoriasis"]
    assert (lupus.right, lupus.matched) == (3, 4)
    # Nobody but the document itself knows it: the mean of all names is what is known.
    assert (psoriasis.right, psoriasis.matched) == (0, 0)
    mean = (3 + 2 * 0.5) / (4 + 2)
    assert psoriasis.score == pytest.approx(mean)
    assert lupus.score == pytest.approx((3 + 2 * mean) / (4 + 2))


def test_names_of_two_labels_and_those_seldom_marked_are_left_out() -> None:
    gold = [
        marked("a", "Given lithium. Toxic lithium levels. Cold.", Drug="lithium", Disease="Cold"),
        marked("b", "Lithium seen as a disease.", Disease="Lithium"),
        *(Document(f"n{i}", "A Cold day.") for i in range(4)),
    ]
    dictionary = build_dictionary(gold, {"Drug": ("x",)}, LABELS, PLAIN)
    assert dictionary.names == ()
    assert dictionary.left_out == {"seldom marked": 1, "too short": 1, "two labels": 1}
    listed = {"Drug": ("insulin shock",), "Disease": ("Insulin Shock",)}
    twice = build_dictionary([], listed, LABELS, PLAIN)
    assert twice.left_out == {"two labels": 1}


def test_a_slip_of_the_annotators_does_not_make_two_labels() -> None:
    gold = [marked(str(i), "Has psoriasis.", Disease="psoriasis") for i in range(5)]
    gold.append(marked("slip", "Has psoriasis.", Drug="psoriasis"))
    (name,) = build_dictionary(gold, {}, LABELS, PLAIN).names
    assert (name.label, name.right, name.matched) == ("Disease", 5, 6)


def test_gold_corrects_what_lists_say() -> None:
    gold = [marked("a", "On warfarin sodium.", Drug="warfarin sodium")]
    gold += [Document(f"n{i}", "Discharge summary of asthma.") for i in range(3)]
    listed = {"Disease": ("discharge summary", "warfarin sodium", "scarlet fever", "asthma")}
    config = DictionaryConfig(min_precision=0.4)
    dictionary = build_dictionary(gold, listed, LABELS, config)
    scores = {name.name: (name.label, name.score) for name in dictionary.names}
    # Of six matches of listed names none was right: mean (0 + 2 * 0.8) / (6 + 2).
    assert scores == {
        "warfarin sodium": ("Drug", 0.5),
        "scarlet fever": ("Disease", pytest.approx(0.2)),
    }
    assert dictionary.left_out == {"seldom marked": 2}


def test_masked_text_and_labels_nobody_looked_for_do_not_count_against_a_name() -> None:
    known = marked("a", "Has psoriasis.", Disease="psoriasis")
    silent = [
        replace(Document("b", "Psoriasis?"), masked=((0, 9),)),
        replace(Document("c", "Psoriasis!"), unknown=("Disease",)),
    ]
    (name,) = build_dictionary([known, *silent], {}, LABELS, PLAIN).names
    assert name.matched == 0


def test_the_floor_is_what_the_dictionary_misses_in_gold() -> None:
    gold = [
        marked("a", "Has lupus nephritis now.", Disease="lupus nephritis"),
        marked("b", "Had lupus nephritis, scabies.", Disease="lupus nephritis", Drug="scabies"),
    ]
    # Outside matches: Has now . Had , scabies . and of these one is a mention.
    assert build_dictionary(gold, {}, LABELS, PLAIN).floor == pytest.approx(1 / 7)


def test_it_annotates_and_votes() -> None:
    gold = [marked(str(i), "Has psoriasis.", Disease="psoriasis") for i in range(9)]
    annotator = build_dictionary(gold, {}, LABELS, PLAIN).annotator()
    seen: list[Progress] = []
    note = Document("n", "Severe psoriasis.")
    for student in (annotator, Votes((annotator, annotator))):
        (found,) = student.predict([note], on_progress=seen.append)
        assert found.mentions() == ["psoriasis"]
    assert annotator.name == "dictionary of 1 names" and seen[-1].done == seen[-1].total
    (scored,) = build_dictionary(gold, {}, LABELS, PLAIN).find([note])
    assert score_of(scored.entities[0]) == pytest.approx(10.9 / 11, abs=0.02)


def test_a_list_for_a_label_that_is_not_there_is_an_error() -> None:
    with pytest.raises(ConfigError, match="a term list is for 'Gene'; labels are Disease, Drug"):
        build_dictionary([], {"Gene": ("p53",)}, LABELS, PLAIN)


def test_the_work_is_linear_in_the_text_whatever_the_number_of_names() -> None:
    def steps(n_names: int, n_repeats: int) -> int:
        trie: Trie[int] = Trie()
        for i in range(n_names):
            trie.add(Form.of(f"long name number{i} of it", 4), i)
        found = trie.matches("A long name number1 of what, a long name number2 of it. " * n_repeats)
        assert len(found) == n_repeats
        return trie.n_steps

    assert steps(10_000, 10) == steps(100, 10)
    assert steps(100, 1000) == 100 * steps(100, 10)
