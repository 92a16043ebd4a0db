"""The queue of notes to label: its records, which hold no text, and the mark on what came back.

``notesmith.annotation.queue`` chooses, ``queue_files`` writes for annotation tools, and
``returned`` takes labelled notes back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from notesmith.document import Document

QUEUED = "queued"
"""Metadata of a note that came back from a queue: ``chosen`` or ``control``."""

ROUND = "round"
"""Metadata of such a note: the number of the queue, from 1."""

MINUTES = "minutes"
"""Metadata of such a note: minutes of work, of all its annotators together."""

Kind = Literal["chosen", "control"]


def is_chosen(doc: Document) -> bool:
    """Whether a model chose this note for labelling.

    A score on such notes says little of others: they are the ones that the model found hard, and
    their annotators saw its labels. Control notes were drawn at random and shown without labels, so
    they may be scored.
    """
    return doc.metadata.get(QUEUED) == "chosen"


@dataclass(frozen=True, slots=True)
class Item:
    """A note of the queue, and why it is in it.

    ``doubt`` is the expected number of wrong words per word, pulled towards the mean of all notes
    where a note is short. ``fresh`` is the share of its doubt, 0 to 1, that lies on words new to
    labelled and chosen notes; it is 1 for a control note, which was drawn by lot. ``rank`` counts
    from 1 within its kind.
    """

    id: str
    kind: Kind
    rank: int
    words: int
    doubt: float
    fresh: float = 1.0
    annotators: tuple[str, ...] = ()

    @property
    def why(self) -> str:
        """One sentence for people."""
        if self.kind == "control":
            return "Drawn at random; shown without labels."
        return (
            f"{100 * self.doubt:.1f} of 100 words are expected to be wrong; {self.fresh:.0%} of "
            "the doubt is new."
        )

    def to_record(self) -> dict[str, Any]:
        """JSON values."""
        return {
            **{"id": self.id, "kind": self.kind, "rank": self.rank, "words": self.words},
            **{"doubt": self.doubt, "fresh": self.fresh},
            "annotators": list(self.annotators),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Item:
        """The item that ``to_record`` gave; KeyError, TypeError or ValueError if it is none."""
        if record["kind"] not in get_args(Kind):
            raise ValueError
        return cls(
            id=str(record["id"]),
            kind=record["kind"],
            rank=int(record["rank"]),
            words=int(record["words"]),
            doubt=float(record["doubt"]),
            fresh=float(record["fresh"]),
            annotators=tuple(map(str, record["annotators"])),
        )


@dataclass(frozen=True, slots=True)
class Queue:
    """Notes to label, in the order in which an annotator meets them.

    ``round`` is one more than the last round among the labelled documents. ``n_gold`` and
    ``gold_words`` tell how much the model that chose had learnt from. ``n_notes`` were looked at;
    ``left_out`` counts those that could not be chosen, by reason.
    """

    items: tuple[Item, ...]
    round: int
    n_gold: int
    gold_words: int
    n_notes: int
    seed: int
    left_out: Counter[str] = field(default_factory=Counter)

    def of_kind(self, kind: Kind) -> tuple[Item, ...]:
        """The notes of one kind."""
        return tuple(item for item in self.items if item.kind == kind)

    def of_annotator(self, name: str) -> tuple[Item, ...]:
        """The notes that one annotator is given."""
        return tuple(item for item in self.items if name in item.annotators)

    @property
    def annotators(self) -> tuple[str, ...]:
        """All annotators, in the order of the alphabet."""
        return tuple(sorted({name for item in self.items for name in item.annotators}))

    @property
    def words(self) -> int:
        """Words of all notes, each counted once."""
        return sum(item.words for item in self.items)

    def to_record(self) -> dict[str, Any]:
        """JSON values, without text."""
        return {
            **{"round": self.round, "n_gold": self.n_gold, "gold_words": self.gold_words},
            **{"n_notes": self.n_notes, "seed": self.seed, "left_out": dict(self.left_out)},
            "items": [item.to_record() for item in self.items],
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Queue:
        """The queue that ``to_record`` gave; KeyError, TypeError or ValueError if it is none."""
        return cls(
            items=tuple(Item.from_record(item) for item in record["items"]),
            round=int(record["round"]),
            n_gold=int(record["n_gold"]),
            gold_words=int(record["gold_words"]),
            n_notes=int(record["n_notes"]),
            seed=int(record["seed"]),
            left_out=Counter({str(k): int(n) for k, n in record["left_out"].items()}),
        )
