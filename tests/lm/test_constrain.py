from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notesmith.errors import ConfigError
from notesmith.lm.constrain import (
    ConstraintRows,
    MarkConstraint,
    Trie,
    forbidden_along,
    joined,
)

OPEN, OTHER_OPEN, CLOSE, EOS = 10, 11, 12, 1
MARKS = {"open_ids": (OPEN, OTHER_OPEN), "close_id": CLOSE, "eos_ids": (EOS,)}
PLAIN = MarkConstraint(**MARKS)


def allowed_after(rule, tokens, vocabulary=range(14)):
    """Tokens that ``rule`` allows after ``tokens``, by way of a row among others."""
    rows = ConstraintRows([None, rule], 3)
    for row, prompt in ((0, 0), (1, 1), (2, 0)):
        rows.admit(row, prompt)
    for token in tokens:
        rows.advance(np.array([5, token, CLOSE]))
    forbidden = rows.forbidden(3)
    assert not forbidden.banned[0].any()
    assert not forbidden.banned[2].any()
    assert set(forbidden.only) <= {1}
    if 1 in forbidden.only:
        return set(forbidden.only[1].tolist())
    return set(vocabulary) - set(forbidden.special_ids[forbidden.banned[1]].tolist())


def test_outside_a_mention_only_the_close_mark_is_forbidden():
    assert set(range(14)) - allowed_after(PLAIN, [5]) == {CLOSE}


def test_a_mention_that_has_just_opened_may_not_close():
    assert set(range(14)) - allowed_after(PLAIN, [5, OPEN]) == {OPEN, OTHER_OPEN, CLOSE, EOS}


def test_inside_a_mention_neither_open_nor_end_of_text():
    assert set(range(14)) - allowed_after(PLAIN, [OPEN, 5]) == {OPEN, OTHER_OPEN, EOS}


def test_after_the_close_mark_it_is_as_outside():
    assert set(range(14)) - allowed_after(PLAIN, [OPEN, 5, CLOSE]) == {CLOSE}


def test_nested_mentions_up_to_the_depth():
    rule = MarkConstraint(**MARKS, max_depth=2)
    assert set(range(14)) - allowed_after(rule, [OPEN]) == {CLOSE, EOS}
    assert set(range(14)) - allowed_after(rule, [OPEN, OTHER_OPEN]) == {
        OPEN,
        OTHER_OPEN,
        CLOSE,
        EOS,
    }
    # The inner mention has something in it, so the outer one has too.
    assert set(range(14)) - allowed_after(rule, [OPEN, OTHER_OPEN, 5, CLOSE]) == {EOS}


def test_a_token_that_is_never_allowed_is_forbidden_everywhere():
    rule = MarkConstraint(**MARKS, max_depth=2, never_ids=(13,))
    for tokens in ([5], [5, OPEN], [OPEN, 5], [OPEN, OTHER_OPEN, 5]):
        assert 13 not in allowed_after(rule, tokens)


def test_a_licensed_mention_is_a_path_of_its_trie():
    trie = Trie.of([[2, 3], [2, 3, 4], [5]])
    rule = MarkConstraint(**MARKS, licence={OPEN: trie})
    assert set(range(14)) - allowed_after(rule, []) == {CLOSE, OTHER_OPEN}
    assert allowed_after(rule, [OPEN]) == {2, 5}
    assert allowed_after(rule, [OPEN, 2]) == {3}
    assert allowed_after(rule, [OPEN, 2, 3]) == {4, CLOSE}
    assert allowed_after(rule, [OPEN, 2, 3, 4]) == {CLOSE}
    assert set(range(14)) - allowed_after(rule, [OPEN, 2, 3, CLOSE]) == {CLOSE, OTHER_OPEN}


def test_rows_have_licences_of_their_own():
    rules = [MarkConstraint(**MARKS, licence={OPEN: Trie.of([[name]])}) for name in (2, 3)]
    rows = ConstraintRows(rules, 2)
    rows.admit(0, 1)
    rows.admit(1, 0)
    rows.advance(np.array([OPEN, OPEN]))
    only = rows.forbidden(2).only
    assert {row: ids.tolist() for row, ids in only.items()} == {0: [3], 1: [2]}
    rows.keep([1])
    assert {row: ids.tolist() for row, ids in rows.forbidden(1).only.items()} == {0: [2]}


def test_an_empty_licence_forbids_all_marks():
    rule = MarkConstraint(**MARKS, licence={})
    assert set(range(14)) - allowed_after(rule, [5]) == {OPEN, OTHER_OPEN, CLOSE}


def test_a_long_mention_is_closed():
    rule = MarkConstraint(**MARKS, max_mention=2)
    assert CLOSE in allowed_after(rule, [OPEN, 5])
    assert allowed_after(rule, [OPEN, 5, 5]) == {CLOSE}


def test_a_row_that_is_filled_again_begins_outside():
    rows = ConstraintRows([PLAIN], 1)
    rows.admit(0, 0)
    rows.advance(np.array([OPEN]))
    rows.admit(0, 0)
    forbidden = rows.forbidden(1)
    assert forbidden.special_ids[forbidden.banned[0]].tolist() == [CLOSE]


def test_one_token_with_two_meanings_is_an_error():
    other = MarkConstraint(open_ids=(CLOSE,), close_id=13, eos_ids=(EOS,))
    with pytest.raises(ConfigError, match="token 12 is two kinds of mark"):
        ConstraintRows([PLAIN, other], 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"close_id": OPEN}, "must be distinct"),
        ({"never_ids": (CLOSE,)}, "must be distinct"),
        ({"attribute_ids": (OPEN,)}, "must be distinct"),
        ({"max_depth": 0}, "max_depth is 0"),
        ({"max_depth": 2, "licence": {}}, "a licence needs max_depth 1"),
    ],
)
def test_impossible_rules_are_errors(change, message):
    with pytest.raises(ConfigError, match=message):
        MarkConstraint(**(MARKS | change))


FLAG, OTHER_FLAG = 13, 9


def test_attributes_stand_right_after_an_open_mark_and_leave_the_mention_empty():
    rule = MarkConstraint(**MARKS, max_depth=2, attribute_ids=(FLAG, OTHER_FLAG))
    flags = {FLAG, OTHER_FLAG}
    for tokens in (
        [],
        [5],
        [OPEN, 5],
        [OPEN, 5, CLOSE],
        [OPEN, OTHER_OPEN, 5, CLOSE],
        [OPEN, FLAG, 5],
    ):
        assert flags.isdisjoint(allowed_after(rule, tokens)), tokens
    for tokens in ([OPEN], [5, OPEN, FLAG], [OPEN, OTHER_OPEN], [OPEN, FLAG, OTHER_OPEN]):
        assert flags <= allowed_after(rule, tokens), tokens
        assert CLOSE not in allowed_after(rule, tokens), tokens


def test_attributes_stand_before_a_licensed_name():
    trie = Trie.of([[2, 3], [5]])
    rule = MarkConstraint(**MARKS, licence={OPEN: trie}, attribute_ids=(FLAG,))
    assert allowed_after(rule, [OPEN]) == {2, 5, FLAG}
    assert allowed_after(rule, [OPEN, FLAG]) == {2, 5, FLAG}
    assert allowed_after(rule, [OPEN, FLAG, 2]) == {3}
    assert allowed_after(rule, [OPEN, FLAG, 5]) == {CLOSE}


def test_of_two_rules_each_has_its_own_attributes():
    rules = [MarkConstraint(**MARKS, attribute_ids=ids) for ids in ((FLAG,), (OTHER_FLAG,))]
    rows = ConstraintRows(rules, 2)
    rows.admit(0, 0)
    rows.admit(1, 1)
    rows.advance(np.array([OPEN, OPEN]))
    free = ~rows.forbidden(2).mask(14)
    assert free[:, [FLAG, OTHER_FLAG]].tolist() == [[True, False], [False, True]]


def test_a_name_without_tokens_is_an_error():
    with pytest.raises(ConfigError, match="no tokens"):
        Trie.of([[]])


def legal(tokens, max_depth):
    """Whether ``tokens`` is the beginning of a legal text, by a scan of its own."""
    stack: list[int] = []
    for i, token in enumerate(tokens):
        if token == OPEN:
            stack.append(i)
            if len(stack) > max_depth:
                return False
        elif token == CLOSE:
            if not stack or tokens[i - 1] == OPEN:
                return False
            stack.pop()
        elif token == EOS and stack:
            return False
    return True


@pytest.mark.parametrize("max_depth", [1, 2])
def test_exactly_the_legal_texts_can_be_written(max_depth):
    rule = MarkConstraint((OPEN,), CLOSE, (EOS,), max_depth=max_depth)
    for tokens in product((5, OPEN, CLOSE, EOS), repeat=5):
        if EOS in tokens[:-1]:
            continue
        written = all(token in allowed_after(rule, tokens[:i]) for i, token in enumerate(tokens))
        assert written == legal(tokens, max_depth), tokens


@given(
    st.sets(st.lists(st.integers(2, 6), min_size=1, max_size=4).map(tuple), min_size=1, max_size=8),
    st.lists(st.integers(0, 5), min_size=30, max_size=30),
)
def test_whatever_is_chosen_a_licensed_mention_is_a_name(names, choices):
    rule = MarkConstraint((OPEN,), CLOSE, (EOS,), licence={OPEN: Trie.of(names)})
    tokens = [OPEN]
    for choice in choices:
        allowed = sorted(allowed_after(rule, tokens))
        tokens.append(allowed[choice % len(allowed)])
        if tokens[-1] == CLOSE:
            break
    assert tuple(tokens[1:-1]) in names


def test_what_a_finished_completion_could_not_have_been_is_what_was_forbidden_as_it_was_drawn():
    licensed = MarkConstraint(**MARKS, licence={OPEN: Trie.of([(5, 6), (7,)])})
    capped = MarkConstraint(**MARKS, max_mention=2)
    completions = [(5, OPEN, 5, 6, CLOSE, EOS), (5, 6), (OPEN, 5, 6, CLOSE, 7), (CLOSE, 5)]
    rules = [licensed, PLAIN, capped, None]
    found = forbidden_along(rules, completions)
    for rule, ids, one in zip(rules, completions, found, strict=True):
        mask = one.mask(14)
        assert mask.shape == (len(ids), 14)
        for place in range(len(ids)):
            free = set(range(14)) if rule is None else allowed_after(rule, ids[:place])
            assert set(np.flatnonzero(~mask[place]).tolist()) == free
    whole = joined(found).mask(14)
    assert (whole == np.concatenate([one.mask(14) for one in found])).all()
