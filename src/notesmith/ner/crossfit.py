"""A committee of students, each trained on its own folds of gold, as an annotator of new text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from notesmith.config import NerConfig
from notesmith.document import Document, labels_of
from notesmith.errors import StageError
from notesmith.ner.model import NerModel
from notesmith.ner.train import train_ner
from notesmith.ner.words import best_tags, to_entities
from notesmith.progress import OnProgress, silent


@dataclass(frozen=True, slots=True)
class Committee:
    """Students that vote; called with texts it labels them: an annotator."""

    members: tuple[NerModel, ...]
    held_out: tuple[frozenset[str], ...]

    def __call__(self, texts: Sequence[str]) -> list[Document]:
        """Label ``texts`` by the mean of the members' word probabilities."""
        docs = [Document(f"text-{i}", text) for i, text in enumerate(texts)]
        scores = [member.predict_scores(docs) for member in self.members]
        labels = self.members[0].labels
        labelled: list[Document] = []
        for i, doc in enumerate(docs):
            mean = np.mean([rows[i].probabilities for rows in scores], axis=0)
            tags = best_tags(np.log(np.maximum(mean, 1e-12)))
            labelled.append(doc.with_entities(to_entities(tags, scores[0][i].words, labels)))
        return labelled

    def predict_each(self, texts: Sequence[str]) -> list[list[Document]]:
        """Every member's own labels of ``texts``: one list a member."""
        docs = [Document(f"text-{i}", text) for i, text in enumerate(texts)]
        return [member.predict(docs) for member in self.members]

    def predict_held_out(self, docs: Sequence[Document]) -> list[Document]:
        """Label the gold ``docs``, each by the member that did not train on it.

        Raises:
            StageError: a document was in no member's held-out fold.
        """
        by_id: dict[str, Document] = {}
        for member, ids in zip(self.members, self.held_out, strict=True):
            by_id |= {d.id: d for d in member.predict([d for d in docs if d.id in ids])}
        if missing := [d.id for d in docs if d.id not in by_id]:
            raise StageError(f"doc {missing[0]!r} was held out from no member")
        return [by_id[d.id] for d in docs]


def train_committee(
    gold: Sequence[Document],
    *,
    config: NerConfig,
    n_members: int = 3,
    labels: Sequence[str] | None = None,
    seed: int,
    on_progress: OnProgress = silent,
) -> Committee:
    """Train ``n_members`` students, each on all folds of ``gold`` but one.

    Folds keep a patient's documents together (``metadata["patient"]``, else each document is its
    own patient).

    Raises:
        StageError: fewer patients than members, or fewer than two members.
    """
    patients = sorted({_patient(doc) for doc in gold})
    if n_members < 2 or len(patients) < n_members:
        raise StageError(f"{len(patients)} patients or documents cannot make {n_members} folds")
    labels = tuple(labels) if labels is not None else labels_of(gold)
    order = np.random.default_rng([seed, n_members]).permutation(len(patients))
    fold_of = {patients[p]: k % n_members for k, p in enumerate(order)}
    members: list[NerModel] = []
    held_out: list[frozenset[str]] = []
    for fold in range(n_members):
        kept = [doc for doc in gold if fold_of[_patient(doc)] != fold]
        result = train_ner(
            kept, config=config, labels=labels, seed=seed + fold, on_progress=on_progress
        )
        members.append(result.model)
        held_out.append(frozenset(d.id for d in gold if fold_of[_patient(d)] == fold))
    return Committee(tuple(members), tuple(held_out))


def _patient(doc: Document) -> str:
    return str(doc.metadata.get("patient") or doc.id)
