"""What is asked of the generator: how many mentions of which label, which names, what length.

Each request takes a gold unit as its pattern, so that density, lengths and the company that labels
keep are those of gold; its names are drawn anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from notesmith.document import Document


@dataclass(frozen=True, slots=True)
class Request:
    """One unit to be written.

    ``mentions`` are (label, mention) in the order wanted; ``pattern`` is the id of the gold unit
    that it follows; ``neighbour``, ``before`` and ``after`` are marked text for templates that are
    grounded in gold.
    """

    id: str
    pattern: str
    words: int
    mentions: tuple[tuple[str, str], ...] = ()
    neighbour: str = ""
    before: str = ""
    after: str = ""


def plan_requests(
    units: Sequence[Document],
    mentions: Sequence[Sequence[tuple[str, str]]],
    *,
    n: int,
    gold: Mapping[str, Sequence[str]],
    proposed: Mapping[str, Sequence[str]],
    gold_ratio: float,
    seed: int,
) -> list[Request]:
    """Plan ``n`` requests.

    Args:
        units: gold units; each is the pattern of about ``n / len(units)`` requests.
        mentions: the (label, mention) pairs of each unit, in order.
        n: number of requests.
        gold: gold names by label.
        proposed: approved new names by label; may lack labels.
        gold_ratio: share of names drawn from gold where a label has both.
        seed: of order, names and lengths.
    """
    rng = np.random.default_rng(seed)
    requests: list[Request] = []
    order: list[int] = []
    for k in range(n):
        if not order:
            order = [int(i) for i in rng.permutation(len(units))]
        i = order.pop()
        asked: list[tuple[str, str]] = []
        for label, mention in mentions[i]:
            new = proposed.get(label, ())
            old = gold.get(label, ()) or (mention,)
            pool = new if new and rng.random() >= gold_ratio else old
            asked.append((label, pool[int(rng.integers(len(pool)))]))
        # A mention of another length makes a unit of another length.
        longer = sum(len(m.split()) for _, m in asked) - sum(len(m.split()) for _, m in mentions[i])
        length = max(3, len(units[i].text.split()) + longer)
        requests.append(Request(f"r{k}", units[i].id, length, tuple(asked)))
    return requests
