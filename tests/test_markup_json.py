import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notesmith.document import Document, Entity
from notesmith.markup import flatten
from notesmith.markup_json import Mentions, parse, render
from tests.corpus.documents import LABELS, characters, entities, texts

TEXT = "No chest pain. Chest pain in 2019,\nchest  pain again; asthma (mild)."


def answer(*items, **options):
    return parse(TEXT, json.dumps(list(items)), ["A", "B"], **options)


def item(text, left=None, right=None, label="A", **more):
    context = {key: value for key, value in (("left", left), ("right", right)) if value is not None}
    return {**context, "text": text, "label": label, **more}


def ranges(found):
    return [(ent.start, ent.end) for ent in found.entities]


@st.composite
def flat_documents(draw):
    """Any text with mentions that neither overlap nor begin or end with white space."""
    text = draw(texts)
    flat, _ = flatten(draw(entities(text)))
    kept = [ent for ent in flat if ent.mention(text) == ent.mention(text).strip()]
    own = st.sets(st.sampled_from(["negated", "Certainty=low"]))
    return Document(
        "n",
        text,
        tuple(
            Entity(f"T{i}", ent.label, ent.spans, tuple(draw(own))) for i, ent in enumerate(kept, 1)
        ),
    )


@given(flat_documents(), st.integers(1, 4))
def test_parse_undoes_render(doc, context_words):
    attributes = ["negated", "Certainty=low"]
    rendered = render(doc, attributes=attributes, context_words=context_words)
    assert rendered.flattened == {}
    found = parse(doc.text, rendered.text, LABELS, attributes=attributes)
    assert found.entities == doc.entities
    assert found.failures == {} and found.tolerated == {}


@given(st.data())
def test_what_cannot_be_written_is_counted(data):
    text = data.draw(texts)
    doc = Document("n", text, tuple(data.draw(entities(text, pieces=3))))
    rendered = render(doc)
    found = parse(text, rendered.text, LABELS)
    flat, counts = flatten(doc.entities)
    blank = sum(not ent.mention(text).strip() for ent in flat)
    assert len(found.entities) == len(flat) - blank
    assert {k: v for k, v in rendered.flattened.items() if k != "white space"} == counts
    assert found.failures == {}


def test_the_example_of_the_module():
    text = "A low risk of colon cancer in the family."
    doc = Document("n", text, (Entity("T1", "Disease", ((14, 26),), ("family",)),))
    wanted = '[{"left":" risk of","text":" colon cancer","right":" in the","label":"Disease"}]'
    assert render(doc).text == wanted
    assert render(doc, attributes=["family"]).text == wanted.replace(
        "}", ',"attributes":["family"]}'
    )


def test_context_is_widened_until_the_place_is_unique():
    doc = Document("n", "a b c a b c a b d", (Entity("T1", "A", ((8, 9),)),))
    [one] = json.loads(render(doc, context_words=1).text)
    assert one["left"] + one["text"] + one["right"] == " c a b c a"
    assert parse(doc.text, render(doc, context_words=1).text, ["A"]).entities == doc.entities


def test_no_mention_is_an_empty_list():
    assert render(Document("n", "Nothing.")).text == "[]"
    assert parse("Nothing.", "[]", ["A"]) == Mentions()


@pytest.mark.parametrize(
    ("written", "spans", "tolerated"),
    [
        (item("asthma"), [(54, 60)], {}),
        (item("asthma", "again; ", " (mild"), [(54, 60)], {}),
        (item("mild", "asthma (", ")"), [(62, 66)], {}),
        (item("mild", "asthma", "."), [(62, 66)], {"context": 1}),
        (item(" chest pain", "No", "."), [(3, 13)], {}),
        (item("chest\npain", "2019,", "again"), [(35, 46)], {}),
        (item("asthma", "no such", "words"), [(54, 60)], {"context": 1}),
        (item("in 2019"), [(26, 33)], {}),
    ],
)
def test_a_mention_stands_where_it_and_its_context_occur_once(written, spans, tolerated):
    found = answer(written)
    assert ranges(found) == spans
    assert found.failures == {} and found.tolerated == tolerated


def test_a_word_counts_before_a_part_of_a_word():
    assert ranges(parse("that at noon", '[{"text":"at","label":"A"}]', ["A"])) == [(5, 7)]
    assert ranges(parse("lesions", '[{"text":"lesion","label":"A"}]', ["A"])) == [(0, 6)]


@pytest.mark.parametrize(
    ("items", "failures"),
    [
        ([item("fever")], {"absent": 1}),
        ([item("CHEST pain")], {"absent": 1}),
        ([item("chest pain")], {"ambiguous": 1}),
        ([item("chest pain", "nowhere")], {"ambiguous": 1}),
        ([item("asthma", label="C")], {"wrong label": 1}),
        ([item("asthma"), item("asthma")], {"duplicated": 1}),
        ([item("asthma"), item("asthma", "again;")], {"duplicated": 1}),
        ([item("asthma"), item("asthma", label="B")], {"overlapping": 1}),
        ([item("asthma"), item("asthma (mild)")], {"overlapping": 1}),
        ([{"label": "A"}], {"bad item": 1}),
        ([item(" ")], {"bad item": 1}),
        ([item(5)], {"bad item": 1}),
        ([item("asthma", left=["x"])], {"bad item": 1}),
        ([item("asthma", attributes="negated")], {"bad item": 1}),
    ],
)
def test_failures_have_reasons(items, failures):
    assert answer(*items).failures == failures


def test_as_many_alike_as_there_are_stand_in_order():
    found = answer(item("chest pain"), item("chest pain", label="B"))
    assert ranges(found) == [(3, 13), (35, 46)]
    assert [ent.label for ent in found.entities] == ["A", "B"]
    assert answer(*[item("chest pain")] * 3).failures == {"ambiguous": 3}


def test_unknown_attributes_are_left_out_and_counted():
    found = answer(item("asthma", attributes=["negated", "sad"]), attributes=["negated"])
    assert found.entities[0].attributes == ("negated",)
    assert found.tolerated == {"attribute": 1}


ASTHMA = '{"text":"asthma","label":"A"}'


@pytest.mark.parametrize(
    ("text", "n", "failures"),
    [
        ("", 0, {"no JSON": 1}),
        ("asthma", 0, {"no JSON": 1}),
        (ASTHMA, 0, {"no JSON": 1}),
        ("[x]", 0, {"no JSON": 1}),
        (f"As asked [see above]:\n```json\n[ {ASTHMA} , ]\n``` Any more?", 1, {}),
        (f'{{"mentions": [{ASTHMA}]}}', 1, {}),
        ("[", 0, {"no JSON": 1}),
        (f"[{ASTHMA}", 1, {"cut off": 1}),
        (f"[{ASTHMA},", 1, {"cut off": 1}),
        (f"[{ASTHMA},{ASTHMA[:20]}", 1, {"cut off": 1}),
        (f"[{ASTHMA},5]", 1, {"cut off": 1}),
        ('[{"text":"asthma","text":"asthma","label":"A"}]', 0, {"bad item": 1}),
        ('[{"text":NaN,"label":"A"}]', 0, {"bad item": 1}),
        (f'[{{"text":{"9" * 6000},"label":"A"}}]', 0, {"bad item": 1}),
        ('[{"text":1e999999,"label":"A"}]', 0, {"bad item": 1}),
        ('[{"text":"\\ud800","label":"A"}]', 0, {"absent": 1}),
        ('[{"text":' + "[" * 100_000, 0, {"cut off": 1}),
        ('[{"text":' + '{"a":' * 100_000, 0, {"cut off": 1}),
    ],
)
def test_what_is_complete_is_read_and_the_rest_counted(text, n, failures):
    found = parse(TEXT, text, ["A"])
    assert len(found.entities) == n
    assert found.failures == failures


def test_an_answer_that_ran_out_of_tokens_is_cut_off():
    assert parse(TEXT, "", ["A"], ended=False).failures == {"cut off": 1}
    assert parse(TEXT, f"[{ASTHMA}]", ["A"], ended=False).failures == {}


@given(flat_documents(), st.data())
def test_places_say_where_each_mention_is_written(doc, data):
    written = render(doc).text
    found = parse(doc.text, written, LABELS)
    for ent, (start, end) in zip(found.entities, found.places, strict=True):
        one = json.loads(written[start:end])
        assert one["text"].split() == ent.mention(doc.text).split()


JSONLIKE = ["[", "]", "{", "}", '"text":', '"label":', '"A"', ",", ":", "\\", '"', "\\ud8", "NaN"]


@given(texts, st.lists(st.sampled_from(JSONLIKE) | st.text(characters, max_size=3)).map("".join))
def test_any_answer_gives_mentions_inside_the_text(text, written):
    for begin in ("", "[{", '[{"text":'):
        found = parse(text, begin + written, LABELS)
        assert all(ent.end <= len(text) for ent in found.entities)


@given(flat_documents(), st.data())
def test_a_truncated_answer_loses_the_last_mentions_alone(doc, data):
    written = render(doc).text
    cut = written[: data.draw(st.integers(0, len(written) - 1))]
    found = parse(doc.text, cut, LABELS)
    plain = tuple(Entity(e.id, e.label, e.spans) for e in doc.entities)
    assert found.entities == plain[: len(found.entities)]
    assert sum(found.failures.values()) == 1


@pytest.mark.parametrize(
    "written",
    [
        "[" * 400_000,
        "[ " * 200_000,
        f"[{ASTHMA}" + " " * 400_000,
        "[" + ",".join([ASTHMA] * 14_000),
        "[" + ",".join(f'{{"text":"{i} a","label":"A"}}' for i in range(14_000)) + "]",
        '[{"text":"' + "\\u" * 200_000,
        '[{"text":"' + "a" * 400_000 + '","label":"A"}]',
    ],
)
def test_long_nonsense_takes_time_in_proportion(written):
    def seconds(answer):
        began = time.process_time()
        parse("a " * 500, answer, ["A"])
        return time.process_time() - began

    # Of three attempts the quickest counts.
    most = 6 * min(seconds(written[: len(written) // 2]) for _ in range(3)) + 0.1
    assert any(seconds(written) < most for _ in range(3))
