"""Steered requests: numbers of texts for a label or for a listed concept, and their coverage.

A concept is a name that the user lists under a label. Each text for it takes as its pattern a gold
unit that holds the label, and the concept replaces one mention of this label. The rest of the
pattern is as in gold.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from notesmith.config.generator import SteeringConfig
from notesmith.document import Document
from notesmith.errors import ConfigError
from notesmith.filters.candidate import Candidate
from notesmith.metrics import fold_mention

log = logging.getLogger(__name__)

Pair = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Steering:
    """How many texts to ask for: ``quota`` by label, ``concepts`` by (label, concept).

    Texts that ask for a concept count towards the quota of its label.
    """

    quota: Mapping[str, int] = field(default_factory=dict)
    concepts: Mapping[Pair, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.quota or self.concepts)

    def names(self) -> dict[str, tuple[str, ...]]:
        """The concepts by label."""
        found: dict[str, list[str]] = {}
        for label, concept in self.concepts:
            found.setdefault(label, []).append(concept)
        return {label: tuple(names) for label, names in found.items()}


@dataclass(frozen=True, slots=True)
class Slot:
    """The part of a request that is decided before its names are drawn.

    ``pattern`` is the index of its gold unit. ``names`` maps the index of a mention of the unit to
    the concept that replaces it. Mentions of the labels in ``without`` are left out.
    """

    pattern: int
    names: Mapping[int, str] = field(default_factory=dict)
    without: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Coverage:
    """Counts of the texts that asked for one concept, or for a label if ``concept`` is "".

    ``asked`` counts these texts. ``kept`` counts those that were kept and hold a labelled mention
    of the concept. ``missing`` counts those that hold none, whether kept or not. The rest were
    dropped for other reasons.
    """

    label: str
    concept: str
    asked: int
    kept: int
    missing: int


def steering_of(config: SteeringConfig, concepts: Mapping[str, Sequence[str]]) -> Steering:
    """The numbers of texts that follow from ``config`` and the listed ``concepts`` of each label.

    Names that differ in case or white space alone are one concept, with the first spelling.

    Raises:
        ConfigError: a list is empty, or the concepts of a label need more texts than its quota.
    """
    if empty := [label for label, names in concepts.items() if not names]:
        raise ConfigError(f"synthesize.concepts.{empty[0]}: its file names no concept")
    spelt: dict[Pair, Pair] = {}
    for label, names in concepts.items():
        for name in names:
            spelt.setdefault((label, fold_mention(name)), (label, name))
    listed = list(spelt.values())
    if config.concept_texts is None:
        wanted = dict.fromkeys(listed, config.per_concept)
    else:
        each, more = divmod(config.concept_texts, max(1, len(listed)))
        wanted = {pair: each + (k < more) for k, pair in enumerate(listed)}
    by_label: Counter[str] = Counter()
    for (label, _), n in wanted.items():
        by_label[label] += n
    for label, n in by_label.items():
        if n > config.quota.get(label, n):
            raise ConfigError(
                f"synthesize.quota.{label} is {config.quota[label]} and its concepts need {n} "
                "texts; raise the quota, or leave it out"
            )
    return Steering(dict(config.quota), wanted)


def slots_of(
    mentions: Sequence[Sequence[Pair]], steering: Steering, *, n: int, seed: int
) -> list[Slot]:
    """Plan at least ``n`` requests: first those for concepts, then for quotas, then the rest.

    A label whose quota is full is left out of later requests, and patterns without it are
    preferred. A label that no pattern holds cannot be asked for; its concepts and its quota are
    skipped with a warning.

    Args:
        mentions: the (label, mention) pairs of each gold unit that may be a pattern, in order.
        steering: numbers of texts by label and concept.
        n: number of requests; there are more if concepts and quotas need more.
        seed: seed of the patterns, the mentions replaced and the order of requests.

    Returns:
        The planned requests in random order.
    """
    rng = np.random.default_rng([seed, 5])
    held = [frozenset(label for label, _ in unit) for unit in mentions]
    known = frozenset().union(*held)
    concepts = {pair: times for pair, times in steering.concepts.items() if pair[0] in known}
    left = Counter({label: times for label, times in steering.quota.items() if label in known})
    if absent := sorted({*steering.quota, *steering.names()} - known):
        log.warning("no unit of gold holds %s: it cannot be asked for", ", ".join(absent))
    pending: Counter[str] = Counter()
    for (label, _), times in concepts.items():
        pending[label] += times
    queues: dict[tuple[str, frozenset[str]], list[int]] = {}
    slots: list[Slot] = []

    def next_pattern(label: str, full: frozenset[str]) -> int:
        """The next unit that holds ``label`` ("": any), preferably one without a full label."""
        queue = queues.setdefault((label, full), [])
        if not queue:
            fitting = [i for i, own in enumerate(held) if not label or label in own]
            pool = [i for i in fitting if full.isdisjoint(held[i])] or fitting
            queue += (pool[int(k)] for k in rng.permutation(len(pool)))
        return queue.pop()

    def plan(label: str, concept: str = "") -> None:
        # What the concepts of other labels still need of their quota is kept for them.
        full = frozenset(x for x in left if x != label and left[x] <= pending[x])
        pattern = next_pattern(label, full)
        names: dict[int, str] = {}
        if concept:
            places = [k for k, (own, _) in enumerate(mentions[pattern]) if own == label]
            names[places[int(rng.integers(len(places)))]] = concept
        slots.append(Slot(pattern, names, full))
        left.subtract(x for x in held[pattern] - full if x in left)

    for (label, concept), times in concepts.items():
        for _ in range(times):
            pending[label] -= 1
            plan(label, concept)
    for label in list(left):
        while left[label] > 0:
            plan(label)
    while len(slots) < n:
        plan("")
    return [slots[int(k)] for k in rng.permutation(len(slots))]


def coverage_of(
    candidates: Sequence[Candidate],
    kept: Sequence[Document],
    steering: Steering,
) -> list[Coverage]:
    """One row for each label with a quota, then for each concept, in the order of ``steering``.

    Args:
        candidates: what the generator wrote, one candidate for each request.
        kept: documents of the candidates that the filters kept.
        steering: numbers of texts that were asked for.
    """
    ids = {doc.id for doc in kept}
    n: dict[str, Counter[Pair]] = {name: Counter() for name in ("asked", "kept", "missing")}
    for candidate in candidates:
        asked = _with_labels((label, fold_mention(name)) for label, name in candidate.requested)
        doc = candidate.result
        held = (
            _with_labels((e.label, fold_mention(e.mention(doc.text))) for e in doc.entities)
            if isinstance(doc, Document)
            else frozenset()
        )
        n["asked"].update(asked)
        n["missing"].update(asked - held)
        if candidate.id in ids:
            n["kept"].update(asked & held)
    rows = [(label, "") for label in steering.quota] + list(steering.concepts)
    return [
        Coverage(label, concept, **{name: n[name][label, fold_mention(concept)] for name in n})
        for label, concept in rows
    ]


def _with_labels(pairs: Iterable[Pair]) -> frozenset[Pair]:
    """``pairs``, and for each of their labels the pair of it with an empty name."""
    found = set(pairs)
    return frozenset(found | {(label, "") for label, _ in found})
