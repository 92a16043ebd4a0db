"""The score of one cell: counts per document, small and free of text, so that it can be cached."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from notesmith.document import Document
from notesmith.errors import StageError, shown_doc
from notesmith.evaluate.bootstrap import Array
from notesmith.metrics import (
    PRFScore,
    Scores,
    known_only,
    score,
    score_attributes,
    score_seen,
    score_unseen,
)

Counts = tuple[tuple[int, int, int], ...]
NamedView = Literal["strict", "end_to_end", "on_found"]
PooledView = Literal["lenient", "boundary", "unseen", "seen"]
View = NamedView | PooledView
SCHEMA = 1
_NAMED: tuple[NamedView, ...] = ("strict", "end_to_end", "on_found")
_POOLED: tuple[PooledView, ...] = ("lenient", "boundary", "unseen", "seen")
# The views of which each student's counts are kept: those that intervals are given for.
_VIEWS: tuple[View, ...] = ("strict", *_POOLED)


@dataclass(frozen=True, slots=True)
class CellScores:
    """What one trained student scored on one set of documents.

    ``strict`` maps label to (tp, fp, fn) per document; these views pool the labels: ``lenient``
    (same label, overlap), ``boundary`` (any label), ``unseen`` and ``seen`` (strict, by whether the
    gold draw has the mention string). ``end_to_end`` and ``on_found`` are those of
    ``AttributeScores``, by name of the attribute, where the student is to learn some. ``groups``
    numbers what belongs together: documents of one patient, or sentences of one document, alike.
    ``ids_hash`` says which documents, in which order. ``seconds`` and ``tokens`` are those of
    training. Of several ``students`` counts are added up, and ``counts`` gives the mean; ``apart``
    keeps those of each student, labels pooled, by view. ``left_out`` are the positions of documents
    that were not scored because the draw, or a document of it by text or patient, holds them: their
    counts are 0 (out-of-draw scores stand over all of train, so that draws can be put together).
    """

    arm: str
    size: int
    replicate: int
    seed: int
    split: str
    ids_hash: str
    groups: tuple[int, ...]
    strict: dict[str, Counts]
    lenient: Counts
    boundary: Counts
    unseen: Counts
    seen: Counts
    seconds: float = 0.0
    tokens: int = 0
    students: int = 1
    end_to_end: dict[str, Counts] = field(default_factory=dict)
    on_found: dict[str, Counts] = field(default_factory=dict)
    left_out: tuple[int, ...] = ()
    apart: dict[str, tuple[Counts, ...]] = field(default_factory=dict)

    @property
    def n_documents(self) -> int:
        """How many documents the counts stand over, those left out included."""
        return len(self.groups)

    @property
    def n_scored(self) -> int:
        """How many documents were scored."""
        return len(self.groups) - len(self.left_out)

    def counts(self, view: View = "strict", *, label: str | None = None) -> Array:
        """Counts per document, shape (documents, 3).

        ``label`` picks one label, or one attribute, in the views that have them by name.
        """
        if view not in _NAMED:
            rows = np.asarray(getattr(self, view), dtype=float)
            return rows.reshape(self.n_documents, 3) / self.students
        named: dict[str, Counts] = getattr(self, view)
        wanted = list(named.values()) if label is None else [named.get(label, ())]
        total = np.zeros((self.n_documents, 3))
        for counts in wanted:
            if counts:
                total += np.asarray(counts, dtype=float)
        return total / self.students

    def counts_apart(self, view: View = "strict") -> Array:
        """Counts of each student, labels pooled, shape (students, documents, 3).

        One row, the mean of all, where the students were not kept apart.
        """
        if view not in self.apart:
            return self.counts(view)[None]
        rows = np.asarray(self.apart[view], dtype=float)
        return rows.reshape(len(self.apart[view]), self.n_documents, 3)

    @property
    def predicts_nothing(self) -> bool:
        """Whether a student found no mention in any document."""
        return not self.counts_apart()[..., :2].any(axis=(1, 2)).all()

    def equals(self, other: CellScores) -> bool:
        """Whether both have the same counts of each label in the same documents."""
        return (self.strict, self.left_out) == (other.strict, other.left_out)

    @property
    def f1(self) -> float:
        """Strict micro-F1, 0 to 1."""
        tp, fp, fn = self.counts().sum(axis=0) * self.students
        return PRFScore(round(tp), round(fp), round(fn)).f1

    def to_json(self) -> dict[str, Any]:
        """A JSON value without text of documents."""
        return {
            "schema": SCHEMA,
            "arm": self.arm,
            "size": self.size,
            "replicate": self.replicate,
            "seed": self.seed,
            "split": self.split,
            "ids_hash": self.ids_hash,
            "groups": list(self.groups),
            "strict": _to_named_lists(self.strict),
            **{view: _to_lists(getattr(self, view)) for view in _POOLED},
            **(
                {
                    "end_to_end": _to_named_lists(self.end_to_end),
                    "on_found": _to_named_lists(self.on_found),
                }
                if self.end_to_end
                else {}
            ),
            "seconds": self.seconds,
            "tokens": self.tokens,
            **({"students": self.students} if self.students > 1 else {}),
            **({"left_out": list(self.left_out)} if self.left_out else {}),
            **(
                {"apart": {view: list(map(_to_lists, own)) for view, own in self.apart.items()}}
                if self.apart
                else {}
            ),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> CellScores:
        """The inverse of ``to_json``.

        Raises:
            StageError: the value has another schema, or a part is missing or malformed.
        """
        if value.get("schema") != SCHEMA:
            raise StageError(f"cell scores have schema {value.get('schema')!r}, not {SCHEMA}")
        try:
            return cls(
                arm=str(value["arm"]),
                size=int(value["size"]),
                replicate=int(value["replicate"]),
                seed=int(value["seed"]),
                split=str(value["split"]),
                ids_hash=str(value["ids_hash"]),
                groups=tuple(int(g) for g in value["groups"]),
                strict=_to_named_counts(value["strict"]),
                lenient=_to_counts(value["lenient"]),
                boundary=_to_counts(value["boundary"]),
                unseen=_to_counts(value["unseen"]),
                seen=_to_counts(value["seen"]),
                end_to_end=_to_named_counts(value.get("end_to_end", {})),
                on_found=_to_named_counts(value.get("on_found", {})),
                seconds=float(value["seconds"]),
                tokens=int(value["tokens"]),
                students=int(value.get("students", 1)),
                left_out=tuple(int(i) for i in value.get("left_out", ())),
                apart={
                    str(view): tuple(map(_to_counts, own))
                    for view, own in value.get("apart", {}).items()
                },
            )
        except (KeyError, TypeError, ValueError) as error:
            raise StageError(
                f"cell scores are malformed: {type(error).__name__} {error}"
            ) from error


def score_cell(
    gold: Sequence[Document],
    predicted: Sequence[Document],
    train_mentions: Iterable[str],
    *,
    arm: str,
    size: int,
    replicate: int,
    seed: int,
    split: str = "test",
    attributes: Sequence[str] | None = (),
    seconds: float = 0.0,
    tokens: int = 0,
) -> CellScores:
    """Score one student's predictions; labels that are unknown in a document are not scored there.

    Args:
        gold: the documents as annotated.
        predicted: the same documents as predicted, any order.
        train_mentions: mention strings of the **gold draw**; not those of made text, so that
            "unseen" means the same for every arm of a replicate.
        arm: name of the arm.
        size: gold documents of the draw.
        replicate: number of the draw.
        seed: of the student.
        split: which documents these are.
        attributes: names of those that the student is to learn; None for all that gold has.
        seconds: training time.
        tokens: trained on, padding left out.

    Raises:
        StageError: gold and predictions are not the same documents.
    """
    sides = known_only(gold, predicted)
    gold, predicted = sides.gold, sides.predicted
    known = set(train_mentions)
    strict = score(gold, predicted)
    labels = sorted({label for doc in strict.per_document for label in doc})
    wanted = attributes is None or len(attributes) > 0
    values = score_attributes(gold, predicted, attributes) if wanted else {}
    return CellScores(
        arm=arm,
        size=size,
        replicate=replicate,
        seed=seed,
        split=split,
        ids_hash=hash_ids([doc.id for doc in gold]),
        groups=_groups(gold),
        strict={label: _label_counts(strict, label) for label in labels},
        lenient=_pooled(score(gold, predicted, matching="overlap")),
        boundary=_pooled(score(gold, predicted, matching="boundary")),
        unseen=_pooled(score_unseen(gold, predicted, known)),
        seen=_pooled(score_seen(gold, predicted, known)),
        end_to_end={name: tuple(map(_triple, own.end_to_end)) for name, own in values.items()},
        on_found={name: tuple(map(_triple, own.on_found)) for name, own in values.items()},
        seconds=seconds,
        tokens=tokens,
    )


def join_folds(
    gold: Sequence[Document], folds: Sequence[tuple[Sequence[str], CellScores]]
) -> CellScores:
    """One score over ``gold`` from those of its folds, each with the ids of its documents.

    Arm, size, replicate, seed and split are those of the first fold; ``seconds`` and ``tokens``
    are added up.

    Raises:
        StageError: a document is in no fold or in two.
    """
    at: dict[str, tuple[int, int]] = {}
    for number, (ids, cell) in enumerate(folds):
        if len(ids) != cell.n_documents or hash_ids(ids) != cell.ids_hash:
            raise StageError(f"fold {number + 1} was scored on other documents than it names")
        for row, doc_id in enumerate(ids):
            if doc_id in at:
                raise StageError(f"{shown_doc(doc_id)} is in two folds")
            at[doc_id] = (number, row)
    if missing := [doc.id for doc in gold if doc.id not in at]:
        raise StageError(f"{shown_doc(missing[0])} is in no fold")
    places = [at[doc.id] for doc in gold]
    cells = [cell for _, cell in folds]
    zero = (0, 0, 0)

    def gathered(counts: Sequence[Counts]) -> Counts:
        return tuple(counts[fold][row] if counts[fold] else zero for fold, row in places)

    kept = {view for view in cells[0].apart if all(view in cell.apart for cell in cells)}
    apart = {
        view: tuple(map(gathered, zip(*(cell.apart[view] for cell in cells), strict=True)))
        for view in sorted(kept)
    }
    return replace(
        cells[0],
        ids_hash=hash_ids([doc.id for doc in gold]),
        groups=_groups(gold),
        **_combine(cells, gathered),
        apart=apart,
        seconds=sum(cell.seconds for cell in cells),
        tokens=sum(cell.tokens for cell in cells),
    )


def add_students(cells: Sequence[CellScores]) -> CellScores:
    """One score of several students of the same arm and draw on the same documents.

    Labels, seed and the like are those of the first; ``seconds`` and ``tokens`` are added up. The
    counts of each stay in ``apart``.

    Raises:
        StageError: they were scored on other documents.
    """
    if len({(cell.ids_hash, cell.left_out) for cell in cells}) != 1:
        raise StageError("students of one arm and draw were scored on different documents")
    zero = ((0, 0, 0),) * cells[0].n_documents

    def added(counts: Sequence[Counts]) -> Counts:
        total = sum(np.asarray(rows or zero) for rows in counts)
        return _to_counts(np.asarray(total).tolist())

    return replace(
        cells[0],
        **_combine(cells, added),
        apart={view: tuple(_pooled_of(cell, view) for cell in cells) for view in _VIEWS},
        seconds=sum(cell.seconds for cell in cells),
        tokens=sum(cell.tokens for cell in cells),
        students=sum(cell.students for cell in cells),
    )


def _pooled_of(cell: CellScores, view: View) -> Counts:
    """The counts of one student in ``view``, labels pooled, as whole numbers."""
    return _to_counts((cell.counts(view) * cell.students).round().tolist())


def _combine(
    cells: Sequence[CellScores], together: Callable[[Sequence[Counts]], Counts]
) -> dict[str, Any]:
    """Every view by its name, put ``together`` from those of ``cells``."""
    found: dict[str, Any] = {
        view: together([getattr(cell, view) for cell in cells]) for view in _POOLED
    }
    for view in _NAMED:
        named: list[dict[str, Counts]] = [getattr(cell, view) for cell in cells]
        names = sorted({name for each in named for name in each})
        found[view] = {name: together([each.get(name, ()) for each in named]) for name in names}
    return found


def hash_ids(ids: Sequence[str]) -> str:
    """SHA-256 of document ids in order."""
    return hashlib.sha256("\x1f".join(ids).encode()).hexdigest()


def _groups(docs: Sequence[Document]) -> tuple[int, ...]:
    """Numbers of what is resampled whole: the patient, else the document a sentence is of."""
    numbers: dict[tuple[str, str], int] = {}
    groups = []
    for doc in docs:
        named = (name for name in ("patient", "document") if doc.metadata.get(name) is not None)
        name = next(named, None)
        key = ("doc", doc.id) if name is None else (name, str(doc.metadata[name]))
        groups.append(numbers.setdefault(key, len(numbers)))
    return tuple(groups)


def _triple(counts: PRFScore) -> tuple[int, int, int]:
    return counts.tp, counts.fp, counts.fn


def _label_counts(scores: Scores, label: str) -> Counts:
    return tuple(_triple(doc.get(label, PRFScore())) for doc in scores.per_document)


def _pooled(scores: Scores) -> Counts:
    return tuple(_triple(counts) for counts in scores.documents())


def _to_lists(counts: Counts) -> list[list[int]]:
    return [list(row) for row in counts]


def _to_named_lists(named: Mapping[str, Counts]) -> dict[str, list[list[int]]]:
    return {name: _to_lists(counts) for name, counts in named.items()}


def _to_named_counts(named: Mapping[str, Any]) -> dict[str, Counts]:
    return {name: _to_counts(rows) for name, rows in named.items()}


def _to_counts(rows: Iterable[Iterable[int]]) -> Counts:
    counts = tuple(tuple(int(n) for n in row) for row in rows)
    if any(len(row) != 3 for row in counts):
        raise ValueError("a row of counts is not (tp, fp, fn)")
    return counts  # type: ignore[return-value]
