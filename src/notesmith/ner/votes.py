"""Several students as one: the mean of their word probabilities, decided as a student decides.

No torch here: members may be weights or exported to ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from notesmith.document import Document
from notesmith.errors import ConfigError, ModelError, StageError, shown_doc
from notesmith.models.manifest import check_manifest, write_manifest
from notesmith.ner.attributes import Attribute
from notesmith.ner.decode import WordScores
from notesmith.ner.protocol import Predicts, Student
from notesmith.ner.settings import read_settings, write_settings
from notesmith.progress import OnProgress, Progress, silent

_TINY = 1e-12
_MEMBER = "member-{}"


@dataclass(frozen=True, slots=True)
class Votes(Predicts):
    """Students of the same labels that vote; used like one student.

    Raises:
        ConfigError: there are fewer than two, or their labels or attributes differ.
    """

    members: tuple[Student, ...]

    def __post_init__(self) -> None:
        if len(self.members) < 2:
            raise ConfigError(f"{len(self.members)} students cannot vote; train at least two")
        first = self.members[0]
        for member in self.members[1:]:
            if member.labels != first.labels or member.attributes != first.attributes:
                raise ConfigError(
                    "students vote only where labels and attributes are the same, in one order; "
                    "train them with one --labels"
                )

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that they find."""
        return self.members[0].labels

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The attributes that they have learnt."""
        return self.members[0].attributes

    @property
    def name(self) -> str:
        """The encoder, and how many vote."""
        return f"{self.members[0].name}, votes of {len(self.members)}"

    def predict_scores(
        self,
        docs: Sequence[Document],
        *,
        batch_tokens: int = 4096,
        on_progress: OnProgress = silent,
    ) -> list[WordScores]:
        """The mean of the members' tag probabilities; of attributes, the log of the mean.

        Raises:
            StageError: members cut a document into other words.
        """
        total: list[WordScores] = []
        for k, member in enumerate(self.members):
            told = nth_of(k, len(self.members), on_progress)
            found = member.predict_scores(docs, batch_tokens=batch_tokens, on_progress=told)
            found = [_with_chances(scores, self.attributes) for scores in found]
            total = (
                found
                if not total
                else [_sum(doc, a, b) for doc, a, b in zip(docs, total, found, strict=True)]
            )
        return [_mean(scores, len(self.members)) for scores in total]

    def save(self, folder: Path | str) -> None:
        """Write a folder with one folder a member; all or nothing, as ``NerModel.save``.

        Raises:
            ConfigError: a member was exported, and its folder is there to be copied.
        """
        savers = [getattr(member, "save", None) for member in self.members]
        if None in savers:
            raise ConfigError("students that were exported are not saved; copy their folder")
        write_votes(folder, [save for save in savers if save is not None])


def write_votes(folder: Path | str, writers: Sequence[Callable[[Path], object]]) -> None:
    """Write a folder of voting students, each by the one of ``writers`` that knows how."""
    from notesmith.files.write import atomic_folder

    with atomic_folder(Path(folder)) as temporary:
        for k, write in enumerate(writers, 1):
            write(temporary / _MEMBER.format(k))
        first = read_settings(temporary / _MEMBER.format(1))
        write_settings(replace(first, votes=len(writers)), temporary)
        write_manifest(temporary)


def members_of(folder: Path) -> list[Path]:
    """The members' folders of what ``Votes.save`` wrote; none where the folder is one student."""
    return [folder / _MEMBER.format(k + 1) for k in range(read_settings(folder).votes)]


def load_votes(folder: Path, load: Callable[[Path], Student]) -> Votes:
    """Load what ``Votes.save`` wrote, each member by ``load``.

    Raises:
        ModelError: the folder is damaged, or its members differ.
    """
    check_manifest(folder)
    try:
        return Votes(tuple(load(member) for member in members_of(folder)))
    except ConfigError as error:
        raise ModelError(f"{folder}: {error}") from error


def nth_of(k: int, n: int, on_progress: OnProgress) -> OnProgress:
    """Progress of annotator ``k`` (from 0) as a part of that of all ``n``."""

    def told(progress: Progress) -> None:
        done = k * progress.total + progress.done
        on_progress(replace(progress, done=done, total=n * progress.total))

    return told


def _with_chances(scores: WordScores, attributes: Sequence[Attribute]) -> WordScores:
    """``scores`` with probabilities of attributes in the place of logits."""
    if scores.attributes is None:
        return scores
    parts: list[NDArray[np.float32]] = []
    first = 0
    for attribute in attributes:
        logits = scores.attributes[:, first : first + attribute.n_classes]
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        parts.append(raised / raised.sum(axis=1, keepdims=True))
        first += attribute.n_classes
    return replace(scores, attributes=np.concatenate(parts, axis=1))


def _sum(doc: Document, a: WordScores, b: WordScores) -> WordScores:
    if a.words != b.words:
        raise StageError(
            f"{shown_doc(doc.id)}: students that vote cut it into other words; train them by one "
            "version of notesmith"
        )
    both = a.attributes is not None and b.attributes is not None
    return WordScores(
        a.words,
        a.probabilities + b.probabilities,
        a.attributes + b.attributes if both else None,  # type: ignore[operator]
    )


def _mean(total: WordScores, n: int) -> WordScores:
    mean = (total.probabilities / n).astype(np.float32)
    if total.attributes is None:
        return WordScores(total.words, mean)
    log_mean = np.log(np.maximum(total.attributes / n, _TINY)).astype(np.float32)
    return WordScores(total.words, mean, log_mean)
