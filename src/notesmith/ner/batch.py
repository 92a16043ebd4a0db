"""Windows as tensors, packed into one row or padded to the longest, and one value a word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from notesmith.ner.packing import packed_inputs
from notesmith.ner.windows import Window
from notesmith.words import IGNORED


@dataclass(frozen=True, slots=True)
class MentionBatch:
    """Gold mentions whose attributes are learnt.

    Word ``words[i]`` of the batch belongs to mention ``groups[i]``, whose classes are row
    ``groups[i]`` of ``classes`` (mentions, attributes).
    """

    words: torch.Tensor
    groups: torch.Tensor
    classes: torch.Tensor

    def to(self, device: torch.device | str) -> MentionBatch:
        """Return the same on ``device``."""
        return MentionBatch(self.words.to(device), self.groups.to(device), self.classes.to(device))


@dataclass(frozen=True, slots=True)
class Batch:
    """What the model takes, and where the words are in what it gives.

    ``places`` point into the output with its first two dimensions joined. With first pieces there
    is one a word and ``groups`` is None; else pieces of word k have ``groups == k`` and are
    averaged. ``tags`` holds one tag a word (empty in prediction); ``mentions`` is None where no
    attribute is learnt. ``unknown`` (2, n) are pairs of a word tagged O and a tag that it may have
    as well; None where there are none. ``soft`` are words with a distribution over tags in the
    place of their tag, and these, one row a word. ``doubted`` are words whose tag is not sure (the
    noise-aware loss alone), and how sure it is, from 0 to below 1.
    """

    inputs: dict[str, Any]
    places: torch.Tensor
    groups: torch.Tensor | None
    tags: torch.Tensor
    n_tokens: int
    mentions: MentionBatch | None = None
    unknown: torch.Tensor | None = None
    soft: tuple[torch.Tensor, torch.Tensor] | None = None
    doubted: tuple[torch.Tensor, torch.Tensor] | None = None

    def to(self, device: torch.device | str) -> Batch:
        """Return the batch with its tensors on ``device``."""
        inputs = {
            name: value.to(device) if isinstance(value, torch.Tensor) else value
            for name, value in self.inputs.items()
        }
        groups = self.groups.to(device) if self.groups is not None else None
        mentions = self.mentions.to(device) if self.mentions is not None else None
        unknown = self.unknown.to(device) if self.unknown is not None else None
        tags = self.tags.to(device)
        soft, doubted = (
            (pair[0].to(device), pair[1].to(device)) if pair is not None else None
            for pair in (self.soft, self.doubted)
        )
        return Batch(
            inputs,
            self.places.to(device),
            groups,
            tags,
            self.n_tokens,
            mentions,
            unknown,
            soft,
            doubted,
        )

    def words(self, values: torch.Tensor) -> torch.Tensor:
        """Pick one float32 row a word out of ``values`` (rows, pieces, width)."""
        picked = values.flatten(0, 1).index_select(0, self.places).float()
        if self.groups is None:
            return picked
        n_words = int(self.groups[-1]) + 1 if len(self.groups) else 0
        summed = picked.new_zeros(n_words, picked.shape[-1]).index_add(0, self.groups, picked)
        return summed / torch.bincount(self.groups, minlength=n_words).unsqueeze(1)


def collate(
    windows: Sequence[Window],
    *,
    pad: int,
    pieces: Literal["first", "mean"],
    packed_from: int | None = None,
) -> Batch:
    """Make a batch of ``windows``; packed with positions from ``packed_from`` if that is given."""
    ids = [window.input_ids for window in windows]
    inputs: dict[str, Any]
    if packed_from is None:
        longest = max(len(row) for row in ids)
        inputs = {
            "input_ids": torch.tensor([[*row, *[pad] * (longest - len(row))] for row in ids]),
            "attention_mask": torch.tensor(
                [[1] * len(row) + [0] * (longest - len(row)) for row in ids]
            ),
        }
        bases = [i * longest for i in range(len(ids))]
    else:
        inputs = dict(packed_inputs(ids, packed_from))
        bases = [0]
        for row in ids[:-1]:
            bases.append(bases[-1] + len(row))
    places: list[int] = []
    groups: list[int] = []
    word = 0
    for base, window in zip(bases, windows, strict=True):
        for start, end in window.pieces:
            stop = end if pieces == "mean" else start + 1
            places += range(base + start, base + stop)
            groups += [word] * (stop - start)
            word += 1
    return Batch(
        inputs,
        torch.tensor(places, dtype=torch.int64),
        torch.tensor(groups, dtype=torch.int64) if pieces == "mean" else None,
        torch.tensor([tag for w in windows for tag in w.tags], dtype=torch.int64),
        sum(len(row) for row in ids),
        _mentions(windows),
        _unknown(windows),
        _soft(windows),
        _doubted(windows),
    )


def _doubted(windows: Sequence[Window]) -> tuple[torch.Tensor, torch.Tensor] | None:
    words: list[int] = []
    sure: list[float] = []
    base = 0
    for window in windows:
        if window.sure is not None:
            for i, (tag, p) in enumerate(zip(window.tags, window.sure.tolist(), strict=True)):
                if tag != IGNORED and p < 1:
                    words.append(base + i)
                    sure.append(p)
        base += len(window.tags)
    return (torch.tensor(words, dtype=torch.int64), torch.tensor(sure)) if words else None


def _soft(windows: Sequence[Window]) -> tuple[torch.Tensor, torch.Tensor] | None:
    words: list[int] = []
    rows: list[torch.Tensor] = []
    base = 0
    for window in windows:
        if window.soft is not None:
            learnt = [i for i, tag in enumerate(window.tags) if tag != IGNORED]
            words += [base + i for i in learnt]
            rows.append(torch.from_numpy(window.soft)[learnt])
        base += len(window.tags)
    return (torch.tensor(words, dtype=torch.int64), torch.cat(rows)) if words else None


def _unknown(windows: Sequence[Window]) -> torch.Tensor | None:
    pairs: list[tuple[int, int]] = []
    base = 0
    for window in windows:
        if window.unknown:
            free = [base + i for i, tag in enumerate(window.tags) if tag == 0]
            pairs += [(word, tag) for word in free for tag in window.unknown]
        base += len(window.tags)
    return torch.tensor(pairs, dtype=torch.int64).T if pairs else None


def _mentions(windows: Sequence[Window]) -> MentionBatch | None:
    words: list[int] = []
    groups: list[int] = []
    classes: list[tuple[int, ...]] = []
    base = 0
    for window in windows:
        for mention in window.mentions:
            words += range(base + mention.first, base + mention.stop)
            groups += [len(classes)] * (mention.stop - mention.first)
            classes.append(mention.classes)
        base += len(window.word_index)
    if not classes:
        return None
    return MentionBatch(torch.tensor(words), torch.tensor(groups), torch.tensor(classes))
