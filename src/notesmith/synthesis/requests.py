"""What is asked of the generator: how many mentions of which label, which names, what length.

Each request takes a gold unit as its pattern, so that density, lengths and the company that labels
keep are those of gold; its names are drawn anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from notesmith.document import Document
from notesmith.metrics import fold_mention
from notesmith.synthesis.steer import Slot, Steering, slots_of


@dataclass(frozen=True, slots=True)
class Request:
    """One unit to be written.

    ``mentions`` are (label, mention) in the order wanted; ``attributes`` are those wanted of each
    mention, or empty where none of any is; ``pattern`` is the id of the gold unit
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
    attributes: tuple[tuple[str, ...], ...] = ()


def plan_requests(
    units: Sequence[Document],
    mentions: Sequence[Sequence[tuple[str, str]]],
    *,
    n: int,
    gold: Mapping[str, Sequence[str]],
    proposed: Mapping[str, Sequence[str]],
    gold_ratio: float,
    seed: int,
    attributes: Sequence[Sequence[tuple[str, ...]]] = (),
    steering: Steering | None = None,
) -> list[Request]:
    """Plan ``n`` requests, or more where ``steering`` needs more.

    Args:
        units: gold units; each is the pattern of about ``n / len(units)`` requests.
        mentions: the (label, mention) pairs of each unit, in order.
        n: number of requests.
        gold: gold names by label.
        proposed: approved new names by label; may lack labels.
        gold_ratio: share of names drawn from gold where a label has both.
        seed: of order, names and lengths.
        attributes: those that are asked for of each unit's mentions, in order; none if empty.
        steering: concepts that are asked for by name, and quotas of labels. No other request asks
            for a listed concept, as far as the label has other names.
    """
    rng = np.random.default_rng(seed)
    requests: list[Request] = []
    if steering:
        slots: Iterable[Slot] = slots_of(mentions, steering, n=n, seed=seed)
        gold, proposed = _without(steering, gold), _without(steering, proposed)
    else:
        slots = _in_turn(len(units), n, rng)
    for k, slot in enumerate(slots):
        i = slot.pattern
        asked: list[tuple[str, str]] = []
        own: list[tuple[str, ...]] = []
        for place, (label, mention) in enumerate(mentions[i]):
            if label in slot.without:
                continue
            name = slot.names.get(place)
            if name is None:
                new = proposed.get(label, ())
                old = gold.get(label, ()) or (mention,)
                pool = new if new and rng.random() >= gold_ratio else old
                name = pool[int(rng.integers(len(pool)))]
            asked.append((label, name))
            own += attributes[i][place : place + 1] if attributes else ()
        # A mention of another length makes a unit of another length.
        longer = sum(len(m.split()) for _, m in asked) - sum(len(m.split()) for _, m in mentions[i])
        length = max(3, len(units[i].text.split()) + longer)
        requests.append(Request(f"r{k}", units[i].id, length, tuple(asked), attributes=tuple(own)))
    return requests


def _in_turn(n_units: int, n: int, rng: np.random.Generator) -> Iterator[Slot]:
    """Every unit as often as every other, in a new order each time around."""
    order: list[int] = []
    for _ in range(n):
        if not order:
            order = [int(i) for i in rng.permutation(n_units)]
        yield Slot(order.pop())


def _without(steering: Steering, names: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """``names`` by label, the listed concepts left out."""
    listed = {(label, fold_mention(concept)) for label, concept in steering.concepts}
    return {
        label: tuple(name for name in found if (label, fold_mention(name)) not in listed)
        for label, found in names.items()
    }
