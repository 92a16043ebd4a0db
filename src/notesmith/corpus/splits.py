"""Divide documents into train, dev and test, or folds, with no patient on two sides.

Documents that name no patient stay together where their text is the same.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from notesmith.corpus.parts import PARTS, folded
from notesmith.document import Document
from notesmith.errors import ConfigError, CorpusError

# Words of a name: "My_TrainingSet" is three, "NCBItrainset" two, and "latest" one.
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_PART_OF = {
    word + end: part
    for part, words in {
        "train": ("train", "training"),
        "dev": ("dev", "devel", "develop", "development", "val", "valid", "validation"),
        "test": ("test", "testing"),
    }.items()
    for word in words
    for end in ("", "set")
}
DEFAULT_RATIOS: Mapping[str, float] = {"train": 0.7, "dev": 0.15, "test": 0.15}


@dataclass(frozen=True, slots=True)
class Split:
    """The parts, each in the order of the input, and how many groups each holds.

    ``n_ungrouped`` documents named no group and counted as one each.
    """

    parts: dict[str, list[Document]]
    n_groups: dict[str, int]
    n_ungrouped: int


def split_corpus(
    docs: Sequence[Document],
    *,
    ratios: Mapping[str, float] = DEFAULT_RATIOS,
    by: str = "patient",
    stratify: str = "kind",
    seed: int,
) -> Split:
    """Divide ``docs`` so that documents of one group stay together.

    Groups are shuffled, the large ones go first, and each goes where most is missing: of its kinds
    of document and of documents at all. Ratios are of documents and are met as far as the groups
    allow.

    Args:
        docs: the documents.
        ratios: share of each part; they are scaled to sum to 1.
        by: metadata field that names the group.
        stratify: metadata field whose values are spread evenly, as far as the groups allow.
        seed: of the shuffle.

    Raises:
        ConfigError: a ratio is not positive.
        CorpusError: there are fewer groups than parts.
    """
    if not ratios or any(not ratio > 0 for ratio in ratios.values()):
        raise ConfigError(f"ratios {dict(ratios)} must all be above 0")
    groups: dict[str, list[int]] = defaultdict(list)
    n_ungrouped = 0
    # Documents of one text that name no group are a group, by the least of their ids.
    first: dict[str, str] = {}
    for doc in docs:
        text = folded(doc.text)
        first[text] = min(first.get(text, doc.id), doc.id)
    for i, doc in enumerate(docs):
        name = doc.metadata.get(by)
        n_ungrouped += name is None
        own = first[text] if (text := folded(doc.text)) else doc.id
        groups[f"doc {own}" if name is None else f"{by} {name}"].append(i)
    if len(groups) < len(ratios):
        raise CorpusError(
            f"{len(groups)} groups by {by!r} cannot fill {len(ratios)} parts; "
            "ask for fewer parts or group by another field"
        )
    kinds = [str(doc.metadata.get(stratify, "")) for doc in docs]
    chosen = _allocate(groups, kinds, ratios, seed)
    parts: dict[str, list[Document]] = {part: [] for part in ratios}
    part_of = {i: chosen[name] for name, members in groups.items() for i in members}
    for i, doc in enumerate(docs):
        parts[part_of[i]].append(doc)
    n_groups = Counter(chosen.values())
    return Split(parts, {part: n_groups[part] for part in ratios}, n_ungrouped)


def _allocate(
    groups: Mapping[str, Sequence[int]],
    kinds: Sequence[str],
    ratios: Mapping[str, float],
    seed: int,
) -> dict[str, str]:
    """The part of each group."""
    total = sum(ratios.values())
    n_kind = Counter(kinds)
    missing = {part: len(kinds) * ratio / total for part, ratio in ratios.items()}
    missing_kind = {
        (part, kind): n * ratio / total
        for part, ratio in ratios.items()
        for kind, n in n_kind.items()
    }
    order = sorted(groups)
    random.Random(seed).shuffle(order)
    order.sort(key=lambda name: -len(groups[name]))
    chosen: dict[str, str] = {}
    empty = list(ratios)
    for n_left, name in zip(range(len(order), 0, -1), order, strict=True):
        group_kinds = [kinds[i] for i in groups[name]]
        # When only as many groups are left as parts are empty, these parts take them.
        open_parts = empty if n_left <= len(empty) else list(ratios)

        def lack(part: str, group_kinds: list[str] = group_kinds) -> tuple[float, float]:
            of_kinds = sum(missing_kind[part, kind] for kind in group_kinds) / len(group_kinds)
            # Relative to what a part wants at all, so that small parts get their turn.
            return (of_kinds + missing[part] / len(n_kind)) / ratios[part], ratios[part]

        part = max(open_parts, key=lack)
        chosen[name] = part
        if part in empty:
            empty.remove(part)
        missing[part] -= len(group_kinds)
        for kind in group_kinds:
            missing_kind[part, kind] -= 1
    return chosen


def folds(
    docs: Sequence[Document], n: int, *, by: str = "patient", seed: int
) -> list[list[Document]]:
    """Divide ``docs`` into ``n`` folds of about one size, no group in two of them."""
    names = [str(i) for i in range(n)]
    parts = split_corpus(docs, ratios=dict.fromkeys(names, 1.0), by=by, seed=seed).parts
    return [parts[name] for name in names]


def hold_out(docs: Sequence[Document], ratio: float, seed: int) -> frozenset[str]:
    """Ids of the gold documents kept for early stopping: at least one, never all."""
    import numpy as np

    if ratio == 0 or len(docs) < 2:
        return frozenset()
    n = min(len(docs) - 1, max(1, round(ratio * len(docs))))
    order = np.random.default_rng(seed).permutation(len(docs))
    return frozenset(docs[int(i)].id for i in order[:n])


def find_splits(path: Path) -> dict[str, Path]:
    """The parts that a corpus folder holds, by the names of its files or subfolders.

    ``train``, ``dev`` and ``test`` are words of names such as ``training``, ``devel.tsv``,
    ``validation`` or ``My_TestSet.txt``; ``latest`` is none. Empty where the folder is not divided
    so.

    Raises:
        CorpusError: two entries could be the same part.
    """
    if not path.is_dir():
        return {}
    found: dict[str, list[Path]] = {}
    for entry in sorted(path.iterdir()):
        if entry.name.startswith(".") or entry.suffix in {".md", ".json", ".ann"}:
            continue
        if entry.suffix == ".txt" and entry.with_suffix(".ann").exists():
            continue  # a note of brat, whatever its id is
        if (part := part_named(entry.name)) is not None:
            found.setdefault(part, []).append(entry)
    if all(len(same) > 1 and {p.suffix for p in same} == {".txt"} for same in found.values()):
        return {}  # marked notes, numbered
    for part, same in found.items():
        if len(same) > 1:
            raise CorpusError(
                f"{path}: {same[0].name} and {same[1].name} could both be {part}; name the paths"
            )
    return {part: found[part][0] for part in PARTS if part in found}


def part_named(name: str) -> str | None:
    """The part that a word of a file's or folder's name says it is; None where none, or two do."""
    found = {_PART_OF[word] for each in _WORD.findall(name) if (word := each.lower()) in _PART_OF}
    return found.pop() if len(found) == 1 else None
