"""A committee of students, each trained on its own folds of gold, as an annotator of new text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from notesmith.config.student import NerConfig
from notesmith.document import Document, labels_of, parents_in
from notesmith.errors import StageError, shown_doc
from notesmith.ner.decode import WordScores, best_tags
from notesmith.ner.model import NerModel
from notesmith.ner.train import train_ner
from notesmith.progress import OnProgress, silent
from notesmith.words import to_entities

Made = Sequence[Document] | Callable[[Sequence[Document]], Sequence[Document]]
"""Made documents that name their parents, or what makes them from the gold a member may see."""


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

    def scores_held_out(self, docs: Sequence[Document]) -> list[WordScores]:
        """Tag probabilities of the gold ``docs``, by the member that did not train on each.

        Raises:
            StageError: a document was in no member's held-out fold.
        """
        by_id: dict[str, WordScores] = {}
        for member, ids in zip(self.members, self.held_out, strict=True):
            own = [doc for doc in docs if doc.id in ids]
            scores = member.predict_scores(own)
            by_id |= {doc.id: row for doc, row in zip(own, scores, strict=True)}
        if missing := [d.id for d in docs if d.id not in by_id]:
            raise StageError(f"{shown_doc(missing[0])} was held out from no member")
        return [by_id[d.id] for d in docs]


def train_committee(
    gold: Sequence[Document],
    made: Made = (),
    *,
    config: NerConfig,
    n_members: int = 3,
    labels: Sequence[str] | None = None,
    seed: int,
    on_progress: OnProgress = silent,
) -> Committee:
    """Train ``n_members`` students, each on all folds of ``gold`` but one.

    Folds keep a patient's documents together (``metadata["patient"]``, else each document is its
    own patient). ``made`` joins each member's gold as ``config.integration`` says: a callable gets
    that gold; of given documents those made from a held-out one are left out (names that replaced
    theirs may still be those of held-out gold, which a callable avoids). Members learn no
    attributes: it is their mentions that are asked for.

    Raises:
        StageError: fewer patients than members, fewer than two members, or a made document none of
            whose parents is in ``gold``.
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
        held = frozenset(d.id for d in gold if fold_of[_patient(d)] == fold)
        result = train_ner(
            kept,
            made(kept) if callable(made) else made_without(made, gold, held),
            config=config.mentions_only(),
            labels=labels,
            seed=seed + fold,
            on_progress=on_progress,
        )
        members.append(result.model)
        held_out.append(held)
    return Committee(tuple(members), tuple(held_out))


def made_without(
    made: Sequence[Document], gold: Sequence[Document], held: frozenset[str]
) -> list[Document]:
    """Those of ``made`` with no parent among the ``held`` documents of ``gold``.

    Raises:
        StageError: a made document has no parent in ``gold``, so it may stem from held-out text.
    """
    ids = {doc.id for doc in gold}
    found: list[Document] = []
    for doc in made:
        roots = parents_in(doc, ids)
        if not roots:
            raise StageError(
                f"{shown_doc(doc.id)} names no parent in gold; it may stem from any fold"
            )
        if not roots & held:
            found.append(doc)
    return found


def _patient(doc: Document) -> str:
    return str(doc.metadata.get("patient") or doc.id)
