"""Every filter's reason, on texts made for it."""

from __future__ import annotations

from notesmith.config import FilterConfig
from notesmith.document import Document, Entity
from notesmith.filters import Candidate, HeldOut, run
from notesmith.filters.rules import has_loop, judge, n_repeated
from notesmith.filters.run import HELD_OUT
from notesmith.markup import Fault

GOLD = Document(
    "g",
    "The patient was started on a low dose of the new tablet for her long standing heart trouble. "
    "She will be seen again in six weeks.",
)


def candidate(name: str, text: str, **changes: object) -> Candidate:
    return Candidate(name, text, Document(name, text), **changes)  # type: ignore[arg-type]


def reasons(
    *candidates: Candidate, config: FilterConfig | None = None, **options: object
) -> dict[str, str]:
    result = run(candidates, [GOLD], config or FilterConfig(), **options)  # type: ignore[arg-type]
    return {d.candidate.id: d.reason for d in result.dropped}


def test_reasons_of_single_texts() -> None:
    found = reasons(
        Candidate("fault", "x", Fault("open without close", 1)),
        candidate("endless", "He came in with a cough and", ended=False),
        candidate("short", "He came."),
        candidate("loop", "He had a cough a cough a cough a cough a cough today"),
        candidate("good", "He came in with a cough that had lasted for days."),
    )
    assert found == {
        "fault": "parse: open without close",
        "endless": "no end",
        "short": "too short",
        "loop": "loop",
    }


def test_a_missing_request_counts_only_where_asked_for() -> None:
    lacking = candidate("c", "He came in with a cough that had lasted.", missing=1)
    assert reasons(lacking) == {}
    assert reasons(lacking, config=FilterConfig(require_requested=True)) == {
        "c": "requested mention missing"
    }


def test_a_requested_attribute_that_is_missing_counts_likewise() -> None:
    lacking = candidate("c", "He came in with a cough that had lasted.", missing_attributes=1)
    assert reasons(lacking) == {}
    assert reasons(lacking, config=FilterConfig(require_requested=True)) == {
        "c": "requested attribute missing"
    }


def test_a_mention_inside_a_word_is_dropped_unless_gold_has_such() -> None:
    def marked(name: str, text: str, mention: str) -> Document:
        start = text.index(mention)
        span = ((start, start + len(mention)),)
        return Document(name, text, (Entity("T1", "Problem", span),))

    def found(gold: Document) -> list[str]:
        texts = {
            "glued": "He had no fever orcough and went home.",
            "fine": "He had a cough-like noise.",
        }
        made = [Candidate(n, t, marked(n, t, "cough")) for n, t in texts.items()]
        return [d.reason for d in run(made, [gold], FilterConfig()).dropped]

    assert found(GOLD) == ["mention inside a word"]
    assert found(marked("g", "Herzschwäche und Husten seit Tagen.", "schwäche")) == []


def test_no_more_is_kept_than_was_wanted() -> None:
    made = [candidate(w, f"Nothing new about {w} was said to us here.") for w in WORDS]
    result = run(made, [GOLD], FilterConfig(keep_per_gold=1.5))  # gold has two sentences
    assert [doc.id for doc in result.kept] == WORDS[:3]
    assert result.counts == {"kept": 3, "more than was wanted": len(WORDS) - 3}


def test_long_text_is_dropped() -> None:
    text = " ".join(f"word{i}" for i in range(12))
    assert reasons(candidate("c", text), config=FilterConfig(max_words=11)) == {"c": "too long"}


def test_duplicates_within_and_against_gold() -> None:
    found = reasons(
        candidate("copy", "She will be seen again in six weeks."),
        candidate("first", "An old man fell at home and broke his left hip last night."),
        candidate("again", "An old man fell at home, and broke his left hip last night!"),
        candidate(
            "part",
            "Notes say the patient was started on a low dose of the new tablet for her long "
            "standing heart trouble.",
        ),
    )
    assert found == {"copy": "repeats gold", "again": "repeats made text", "part": "repeats gold"}


SECRET = "Nine words of the sealed note that nobody saw before this."


def test_held_out_text_is_found_by_hash_alone() -> None:
    found = reasons(
        candidate("leak", "He said: nine words of the sealed note that nobody saw."),
        candidate("fine", "Other words of another note that anybody may see here."),
        held_out=HeldOut.of([SECRET]),
    )
    assert found == {"leak": "repeats a held-out document"}


TWELVE_WORDS = " ".join(GOLD.text.split()[:12])


def test_a_dropped_text_says_what_it_repeats_and_how_alike() -> None:
    made = [
        candidate("gold", "She will be seen again in seven weeks."),
        candidate("part", f"{TWELVE_WORDS} gout, which is what all of us believed."),
        candidate("first", "An old man fell at home and broke his left hip last night."),
        candidate("again", "An old man fell at home and broke his left hip one night."),
        candidate("leak", "He said: nine words of the sealed note that nobody saw."),
        candidate("short", "He came."),
    ]
    config = FilterConfig(near_duplicate=0.5, copy_ratio=0.3)
    result = run(made, [GOLD], config, held_out=HeldOut.of([SECRET]))
    assert {d.candidate.id: (d.match, d.likeness) for d in result.dropped} == {
        "gold": ("g", 4 / 8),  # of six runs of three words each four are shared
        "part": ("g", 5 / 13),  # of its runs of eight words
        "again": ("first", 9 / 13),
        "leak": (HELD_OUT, 2 / 4),
        "short": (None, None),
    }


def test_counts_and_both_halves_are_kept() -> None:
    result = run([candidate("a", "x"), candidate("b", "y")], [GOLD], FilterConfig())
    assert result.counts == {"kept": 0, "too short": 2}
    assert [d.candidate.marked for d in result.dropped] == ["x", "y"]


def test_loops() -> None:
    assert has_loop("a b a b a b".split(), 3)
    assert not has_loop("a b a b a c".split(), 3)
    assert not has_loop("a b c d".split(), 2)


def test_a_copied_passage_is_found_over_the_ends_of_its_sentences() -> None:
    assert reasons(candidate("passage", GOLD.text)) == {"passage": "repeats gold"}


def test_a_copied_note_is_found_where_notes_are_the_unit() -> None:
    gold = [Document("g", " ".join(f"Finding {w} was seen once again today." for w in WORDS))]
    copy = candidate("copy", gold[0].text)
    for unit in ("sentence", "document"):  # no single sentence holds enough of it
        (dropped,) = run([copy], gold, FilterConfig(), unit=unit).dropped
        assert dropped.reason == "repeats gold"


WORDS = "alpha bravo delta echo foxtrot golf hotel india".split()


def test_text_without_mentions_is_thinned_to_golds_share() -> None:
    from notesmith.filters.run import share_without_mentions

    gold = [Document("g", "Known gout today. No change so far.", (Entity("T1", "P", ((6, 10),)),))]
    assert share_without_mentions(gold, "sentence") == 0.5
    # Where labels are unknown, a sentence without a mention is no evidence.
    old = Document("o", "Itches after latex. Sleeps well.", unknown=("P",))
    half = Document("h", "Itches after latex. Sleeps well.", masked=((0, 6),))
    assert share_without_mentions([*gold, old], "sentence") == 0.5
    assert share_without_mentions([*gold, half], "sentence") == 2 / 3
    rich = [
        Candidate(
            f"r{w}",
            "x",
            Document(
                f"r{w}", f"The {w} of this man is gout.", (Entity("T1", "P", ((4, 4 + len(w)),)),)
            ),
        )
        for w in WORDS[:2]
    ]
    poor = [candidate(f"p{w}", f"Nothing new about {w} was said here.") for w in WORDS[2:6]]
    result = run([*poor, *rich], gold, FilterConfig(match_density=True, min_words=1))
    assert [d.id for d in result.kept] == ["pdelta", "pecho", "ralpha", "rbravo"]
    assert result.counts["more text without mentions than gold has"] == 2


def test_text_that_names_what_was_asked_too_often_is_dropped_on_request():
    text = "Gout, and Gout again, in gout of twins."
    ents = tuple(Entity(f"T{i}", "Disease", ((at, at + 4),)) for i, at in enumerate((0, 10, 25), 1))
    doc = Document("a", text, ents)
    candidate = Candidate("a", text, doc, requested=(("Disease", "gout"), ("Disease", "gout")))
    assert n_repeated(doc, candidate.requested) == 1
    reasons = [judge(candidate, FilterConfig(max_repeats=bound)) for bound in (None, 1, 0)]
    assert reasons == [None, None, "requested mention repeated"]
