"""Chains of tags: documents side by side give what each gives alone, and what is worked by hand."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from notesmith.ner import chains
from notesmith.ner.chains import best_chains, chain_marginals, groups


def tables(seed: int, lengths: list[int], n_labels: int) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.dirichlet(np.ones(2 * n_labels + 1), n).astype(np.float32) for n in lengths]


def is_legal(tags: tuple[int, ...]) -> bool:
    """I of a label, an even number, stands behind its B or I."""
    return all(
        tag == 0 or tag % 2 or (i > 0 and tags[i - 1] in (tag, tag - 1))
        for i, tag in enumerate(tags)
    )


@pytest.mark.parametrize("n_labels", [1, 2])
@pytest.mark.parametrize("seed", range(5))
def test_they_are_what_all_legal_chains_counted_one_by_one_give(n_labels: int, seed: int) -> None:
    (table,) = tables(seed, [4], n_labels)
    legal = [
        (tags, float(np.prod([table[i, tag] for i, tag in enumerate(tags)], dtype=np.float64)))
        for tags in product(range(2 * n_labels + 1), repeat=4)
        if is_legal(tags)
    ]
    assert best_chains([np.log(table)]) == [list(max(legal, key=lambda one: one[1])[0])]
    want = np.zeros(table.shape)
    for tags, p in legal:
        for i, tag in enumerate(tags):
            want[i, tag] += p
    want /= sum(p for _, p in legal)
    np.testing.assert_allclose(chain_marginals([table])[0], want, atol=1e-9)


def test_a_document_does_not_depend_on_those_beside_it() -> None:
    found = tables(3, [7, 0, 1, 30, 2], 3)
    assert best_chains([np.log(t) for t in found]) == [best_chains([np.log(t)])[0] for t in found]
    for together, table in zip(chain_marginals(found), found, strict=True):
        (alone,) = chain_marginals([table])
        assert together.shape == table.shape
        np.testing.assert_array_equal(together, alone)


def test_documents_without_words_have_no_tags() -> None:
    empty = np.zeros((0, 3), np.float32)
    assert best_chains([empty, empty]) == [[], []]
    assert [one.shape for one in chain_marginals([empty])] == [(0, 3)]


def test_groups_take_each_document_once_and_hold_so_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chains, "_MOST_NUMBERS", 60)
    lengths = [5, 5, 2, 30, 1, 1]
    found = [lengths[group] for group in groups(lengths, 3)]
    assert found == [[5, 5, 2], [30], [1, 1]]
    assert list(groups([], 3)) == []
