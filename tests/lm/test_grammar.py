from dataclasses import dataclass

import numpy as np
import pytest

from notesmith.config import SampleConfig
from notesmith.lm.constrain import ConstraintRows, MarkConstraint, forbidden_along
from notesmith.lm.grammar import Either, GrammarConstraint, Literal, TokenBytes, may_be, steps_of
from notesmith.lm.sample import sample
from tests.lm.tiny import ARCHITECTURES, TEXTS, tiny_lm


@dataclass(frozen=True)
class Choice:
    """One of some texts, then the end."""

    texts: tuple[str, ...]

    def begin(self):
        return Either(tuple(Literal(text.encode(), "end") for text in self.texts))

    def steps(self, state):
        return steps_of(state, lambda _: ())

    def may_end(self, state):
        return may_be(state, "end")


def constraint(lm, *texts):
    return GrammarConstraint(TokenBytes.from_lm(lm), lambda: Choice(texts), lm.eos_ids)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tokens_have_the_bytes_that_they_add_to_a_text(architecture):
    lm = tiny_lm(architecture)
    table = TokenBytes.from_lm(lm)
    for text in (*TEXTS, " é 👩‍⚕️ \n\tα", *lm.reserved):
        assert b"".join(table.of[i] for i in lm.encode(text)) == text.encode()
    assert not set(lm.eos_ids) & table.of.keys()


@pytest.mark.parametrize("architecture", ["llama", "gemma3"])
def test_exactly_the_tokens_that_continue_a_legal_text_are_allowed(architecture):
    lm = tiny_lm(architecture)
    rule = constraint(lm, "chest pain", "chart", "é")
    table = TokenBytes.from_lm(lm)
    for so_far in ("", "ch", "chest", "chest pai"):
        state = rule.begin()
        for token in lm.encode(so_far):
            state = rule.after(state, token)
        wanted = {
            token
            for token, piece in table.of.items()
            if piece
            and any(t.encode().startswith(so_far.encode() + piece) for t in rule.make().texts)
        }
        assert set(rule.allowed(state).tolist()) == wanted != set()


def test_a_text_that_is_whole_may_end_and_go_on():
    lm = tiny_lm()
    rule = constraint(lm, "ch", "chart")
    state = rule.begin()
    for token in lm.encode("ch"):
        state = rule.after(state, token)
    allowed = set(rule.allowed(state).tolist())
    assert set(lm.eos_ids) < allowed
    over = rule.after(state, lm.eos_ids[0])
    assert over.state is None
    assert rule.allowed(over).tolist() == sorted(lm.eos_ids)
    assert rule.after(over, 5) == over


def test_rows_with_a_grammar_stand_beside_rows_with_marks_and_free_rows():
    lm = tiny_lm()
    marks = MarkConstraint((10,), 11, lm.eos_ids)
    rows = ConstraintRows([constraint(lm, "chart"), marks, None], 3)
    for row in range(3):
        rows.admit(row, row)
    found = rows.forbidden(3)
    assert set(found.only) == {0}
    assert found.banned[1].any() and not found.banned[2].any()
    first = int(found.only[0][0])
    rows.advance(np.array([first, 10, 5]))
    rows.keep([2, 0])
    after = constraint(lm, "chart")
    assert rows.forbidden(2).only[1].tolist() == (
        after.allowed(after.after(after.begin(), first)).tolist()
    )
    rows.admit(1, 2)
    assert rows.forbidden(2).only == {}


def test_what_a_completion_could_have_been_is_known_afterwards():
    lm = tiny_lm()
    rule = constraint(lm, "chest pain")
    ids = [*lm.encode("chest pain"), lm.eos_ids[0]]
    [found] = forbidden_along([rule], [ids])
    mask = found.mask(len(lm.tokenizer))
    assert not mask[np.arange(len(ids)), ids].any()
    assert mask.sum(axis=1).min() > 300


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_samples_follow_the_grammar(architecture):
    lm = tiny_lm(architecture)
    texts = ("chest pain", "no asthma", "é 👩‍⚕️")
    rules = [constraint(lm, *texts), None, constraint(lm, texts[2])]
    config = SampleConfig(batch_size=2, max_new_tokens=40)
    made = sample(lm, ["The", "A", "No"] * 3, config, seed=5, constraint=rules * 3)
    for k, one in enumerate(made.samples):
        if k % 3 != 1:
            assert one.text in (texts if k % 3 == 0 else texts[2:])
            assert one.ended
