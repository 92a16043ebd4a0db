"""Whatever a language model writes about a note, it becomes mentions or a counted reason."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from itertools import pairwise

import pytest

from notesmith.annotation.language_model import agreed
from notesmith.annotation.mentions import scores_of_mentions
from notesmith.annotation.prompt import Form
from notesmith.corpus.formats.jsonl import dumps, loads
from notesmith.document import Document, Entity
from notesmith.experiment.artefacts import SampleLog
from notesmith.lm.samples import Sample
from notesmith.markup import ESCAPE, Marks

LABELS = ("Problem", "Drug")
MARKS = Marks.plain(LABELS, ["negated", "Certainty=low"])
TEXTS = (
    "No chest\npain on aspirin. Chest pain again; Sjögren's 🫀 (mild), pain.",
    'a</> b <Problem> c \\ d [{"text":"pain"}] pain',
    " \t\n ",
    "",
    "pain " * 300,
)
WORDS = ("pain", "aspirin", "Sjögren's")
SECONDS = 5.0


def documents() -> list[Document]:
    docs = []
    for i, text in enumerate(TEXTS):
        found = [
            Entity(f"T{k}", LABELS[k % 2], ((text.index(w), text.index(w) + len(w)),), ("negated",))
            for k, w in enumerate(WORDS)
            if w in text
        ]
        docs.append(Document(f"n{i}", text, tuple(found)))
    return docs


def deep(n: int) -> str:
    """A value nested ``n`` deep, in turn a list and an object."""
    return '{"a":[' * n + "1" + "]}" * n


# What may stand where a string is expected.
VALUES = (
    *("null", "true", "-0", "NaN", "-Infinity", "1e999999", "9" * 5000, "[]", "{}", '""', '" "'),
    *('"\\ud800"', '"\\udc00\\ud800"', '"\\u0000"', '"\\', '"\ud800"', '"\ufeff"', '"\x00"'),
    *(deep(10), deep(2000), deep(50_000), "[" * 100_000, '{"a":' * 100_000, '"pain"' * 20),
)
PIECES = (
    *("[", "]", "{", "}", ",", ":", '"', "\\", ESCAPE * 3, "\\u", "\\ud83d", "\ud83d", "\udfff"),
    *("\x00", "\ufeff", "\u202e", "e\u0301", "🫀", "\r\n", "\u2028", "[{", "}]", "```json"),
    *(*MARKS.all, f"{ESCAPE} ", f"{ESCAPE}{MARKS.close}", f" {MARKS.close}", "<", ">", "pain"),
)


def cut(rng: random.Random, answer: str) -> str:
    data = answer.encode("utf-8", "surrogatepass")
    end = rng.randrange(len(data) + 1)
    return data[:end].decode("utf-8", rng.choice(["replace", "surrogateescape", "ignore"]))


def put(rng: random.Random, answer: str) -> str:
    for _ in range(rng.randrange(1, 4)):
        at = rng.randrange(len(answer) + 1)
        answer = answer[:at] + rng.choice(PIECES) + answer[at + rng.randrange(2) :]
    return answer


def flip(rng: random.Random, answer: str) -> str:
    data = bytearray(answer.encode("utf-8", "surrogatepass")) or bytearray(b"x")
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    return data.decode("utf-8", "surrogateescape")


def other_value(rng: random.Random, answer: str) -> str:
    """The value of a field of one item becomes another."""
    field = rng.choice(["left", "text", "right", "label", "attributes"])
    rest = '"text":"pain","label":"Problem"' if rng.random() < 0.5 else ""
    item = f'{{{rest}{"," if rest else ""}"{field}":{rng.choice(VALUES)}}}'
    return rng.choice([f"[{item}]", f"[{item},{answer[1:]}", f"{answer[:-1]},{item}]"])


def again(rng: random.Random, answer: str) -> str:
    return answer * rng.randrange(2, 40)


def shuffled(rng: random.Random, answer: str) -> str:
    parts = [answer[i : i + 7] for i in range(0, len(answer), 7)]
    rng.shuffle(parts)
    return "".join(parts)


def nonsense(rng: random.Random, answer: str) -> str:
    return "".join(rng.choices(PIECES, k=rng.randrange(60)))


def joined(text: str) -> str:
    """``text`` as a decoder of JSON gives it: two halves of a pair side by side are a character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


MUTATIONS = {
    "cut off at a byte": cut,
    "with pieces put in": put,
    "with a bit flipped": flip,
    "with another value in a field": other_value,
    "repeated": again,
    "shuffled": shuffled,
    "of pieces at random": nonsense,
}


def usable(form: Form, doc: Document, answer: str, ended: bool) -> bool:
    """Whether ``answer`` becomes mentions inside of the text, or reasons; it may never raise."""
    began = time.process_time()
    found = form.read(doc.text, answer, ended=ended)
    assert time.process_time() - began < SECONDS
    assert len(found.places) == len(found.entities)
    assert all(0 <= start < end <= len(answer) for start, end in found.places)
    spans = [ent.spans[0] for ent in found.entities]
    assert all(a[1] <= b[0] for a, b in pairwise(spans))
    for ent in found.entities:
        assert ent.label in LABELS and set(ent.attributes) <= set(MARKS.attributes)
        assert ent.mention(doc.text).strip() == ent.mention(doc.text) != ""
    assert all(n > 0 for n in found.failures.values())
    # What is done with it afterwards.
    entities = agreed([found, found, form.read(doc.text, "", ended=False)])
    labelled = doc.with_entities(entities)
    (scores,) = [scores_of_mentions(labelled, LABELS, counts=Counter())]
    assert scores.probabilities.shape == (len(scores.words), 5)
    assert loads(dumps(labelled)) == labelled
    return True


@pytest.mark.parametrize("name", ["json", "inline"])
def test_any_answer_becomes_mentions_or_a_reason(tried, amount, name):
    form = Form(name, MARKS)
    rng = random.Random(name)
    docs = documents()
    answers = [form.answer(doc).text for doc in docs]
    for kind, mutate in MUTATIONS.items():
        for i in range(amount(25, 2000)):
            n = i % len(docs)
            answer = mutate(rng, answers[n])
            try:
                survived = usable(form, docs[n], answer, rng.random() < 0.5)
            except Exception as error:
                raise AssertionError(f"{kind}: {answer[:300]!a} about {n}") from error
            tried.count(f"answer of a language model {kind}, read as {name}", survived)
    tried.check()


@pytest.mark.parametrize("name", ["json", "inline"])
def test_an_answer_may_break_off_at_each_byte(tried, name):
    form = Form(name, MARKS)
    for doc in documents()[:2]:
        whole = form.answer(doc).text.encode()
        for end in range(len(whole)):
            answer = whole[:end].decode("utf-8", "replace")
            survived = usable(form, doc, answer, ended=False)
            # Complete items of a list are used, a copy that is not whole never is.
            found = form.read(doc.text, answer, ended=False)
            survived = survived and sum(found.failures.values()) == 1
            survived = survived and (name == "json" or not found.entities)
            tried.count(f"answer of a language model cut off at a byte, read as {name}", survived)
    tried.check()


@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_any_value_in_any_field(value):
    """The items around it are read."""
    doc = documents()[0]
    whole = '{"text":"aspirin","label":"Drug"}'
    for field in ("left", "text", "right", "label", "attributes", "other"):
        answer = f'[{whole},{{"text":"mild","label":"Problem","{field}":{value}}}]'
        found = Form("json", MARKS).read(doc.text, answer, ended=True)
        assert found.entities[0].mention(doc.text) == "aspirin"
        assert usable(Form("json", MARKS), doc, answer, ended=True)


def test_answers_of_any_kind_are_kept_for_a_call_that_goes_on(tmp_path):
    rng = random.Random(4)
    texts = [joined(nonsense(rng, "")) for _ in range(40)] + ["\ud800", "\x00", "\u2028\n", ""]
    log = SampleLog(tmp_path / "log.jsonl")
    samples = [Sample(i, text, (i, 7), i % 2 == 0) for i, text in enumerate(texts)]
    log.append(samples)
    assert list(SampleLog(tmp_path / "log.jsonl").finished.values()) == samples
    for line in (tmp_path / "log.jsonl").read_bytes().splitlines():
        assert json.loads(line)["text"] in texts
