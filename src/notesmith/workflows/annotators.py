"""Who labels notes: students of gold, saved ones, a dictionary, a tagger, or several together."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from notesmith.annotation.silver import mask_doubtful, mean_scores, ranges_of
from notesmith.config import AnnotateConfig
from notesmith.corpus.labelling import Label
from notesmith.document import Document
from notesmith.errors import ConfigError
from notesmith.experiment.taught import Part, write_parts
from notesmith.ner.attributes import Attribute
from notesmith.ner.decode import Decision, WordScores, label_documents
from notesmith.ner.student import Student, load_student
from notesmith.ner.votes import Votes

STUDENTS, DICTIONARY, TAGGER = "students", "dictionary", "tagger"
ANNOTATORS = (STUDENTS, DICTIONARY, TAGGER)
"""What ``annotate.by`` may name here."""
_WITH_SCORES = Decision({}, scores=True)


@dataclass(frozen=True, slots=True)
class Vote:
    """Annotators of the same labels whose distributions are averaged with equal weight.

    One that knows its mentions alone has no vote on other words, as in recipes.

    Attributes:
        labels: of all of them, in the order of the tags.
        annotators: by name. Attributes of mentions come from the students alone.
    """

    labels: tuple[str, ...]
    annotators: Mapping[str, Student] = field(repr=False)

    @property
    def name(self) -> str:
        """What the annotators are called in the provenance of documents."""
        return ", ".join(one.name for one in self.annotators.values())

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """The attributes of mentions that the students have learnt."""
        return self.annotators[STUDENTS].attributes if STUDENTS in self.annotators else ()

    @property
    def counts(self) -> Counter[str]:
        """What went wrong so far in annotators that find mentions, by reason."""
        found: Counter[str] = Counter()
        for one in self.annotators.values():
            found.update(getattr(one, "counts", Counter()))
        return found

    def scores(self, docs: Sequence[Document]) -> list[WordScores]:
        """What they think of the words of ``docs``.

        Raises:
            StageError: one of them cut a document into other words.
        """
        said = {name: one.predict_scores(docs) for name, one in self.annotators.items()}
        if len(said) == 1:
            return next(iter(said.values()))
        by_id = {
            name: {doc.id: one for doc, one in zip(docs, found, strict=True)}
            for name, found in said.items()
        }
        mean = mean_scores(
            docs,
            by_id,
            spoken={
                name: ranges_of(
                    list(label_documents(docs, said[name], self.labels, model=one.name))
                )
                for name, one in self.annotators.items()
                if getattr(one, "mentions_alone", False)
            },
        )
        if STUDENTS not in said:
            return mean
        return [
            replace(one, attributes=own.attributes)
            for one, own in zip(mean, said[STUDENTS], strict=True)
        ]


def vote_of(
    config: AnnotateConfig,
    gold: Sequence[Document],
    labels: tuple[str, ...],
    students: Student | None,
) -> Vote:
    """The annotators that ``config.by`` names.

    Args:
        config: who they are.
        gold: labelled documents; the dictionary is made of them, and they measure a tagger.
        labels: of the project.
        students: those that vote, where ``config.by`` names them.

    Raises:
        ConfigError: an annotator lacks what it needs.
        CorpusError: predictions of a tagger cannot be read.
        ModelError: a model cannot be loaded.
    """
    found: dict[str, Student] = {}
    for name in config.by:
        if name == STUDENTS:
            assert students is not None
            found[name] = students
        elif name == DICTIONARY:
            found[name] = _dictionary(config, gold, labels)
        else:
            from notesmith.annotation.taggers import open_tagger

            found[name] = open_tagger(config.tagger, labels, gold=gold)
    return Vote(labels, found)


def _dictionary(
    config: AnnotateConfig, gold: Sequence[Document], labels: tuple[str, ...]
) -> Student:
    from notesmith.annotation.dictionary import build_dictionary
    from notesmith.corpus.names import read_names
    from notesmith.experiment.recipes import corpus_path

    lists = config.dictionary.term_lists.items()
    listed = {label: read_names(corpus_path(path)) for label, path in lists}
    return build_dictionary(gold, listed, labels, config.dictionary).annotator()


def load_students(folders: Sequence[Path], *, bf16: bool) -> Student:
    """The students of ``folders``, voting where there are several.

    Without ``bf16`` they compute in float32, so that what they say of a note does not depend on the
    notes beside it; with it, as each was trained.

    Raises:
        ModelError: a folder is damaged or holds no student.
    """
    found = [load_student(folder) for folder in folders]
    student = found[0] if len(found) == 1 else Votes(tuple(found))
    return student if bf16 else in_float32(student)


def in_float32(student: Student) -> Student:
    """``student`` computing in float32; an export to ONNX does so already."""
    from notesmith.ner.model import NerModel

    if isinstance(student, Votes):
        return Votes(tuple(in_float32(member) for member in student.members))
    if isinstance(student, NerModel):
        return replace(student, config=student.config.model_copy(update={"bf16": "no"}))
    return student


def labelling(vote: Vote, config: AnnotateConfig, folder: Path) -> Label:
    """Label notes by ``vote``, and leave the distributions of each chunk in ``folder``.

    The distributions are written before the chunk counts as done, so a chunk that is done has them.
    """

    def label(docs: Sequence[Document]) -> list[Document]:
        before = vote.counts
        scores = vote.scores(docs)
        found = list(
            label_documents(
                docs,
                scores,
                vote.labels,
                model=vote.name,
                decision=_WITH_SCORES,
                attributes=vote.attributes,
            )
        )
        if config.labels == "masked":
            found = [
                mask_doubtful(doc, one, doubtful=config.doubtful)
                for doc, one in zip(found, scores, strict=True)
            ]
        part = Part.of(found, scores)
        write_parts(part_path(folder, docs), vote.labels, [part], vote.counts - before)
        return found

    return label


def part_path(folder: Path, docs: Sequence[Document]) -> Path:
    """Where the distributions of a chunk stand; the first note of a chunk tells it from others."""
    name = hashlib.blake2b(docs[0].id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return folder / f"{name}.npz"


def check_annotators(config: AnnotateConfig, *, has_gold: bool) -> None:
    """See that ``config.by`` names annotators that can label here.

    Raises:
        ConfigError: one is unknown, stands twice, or needs gold that is not given.
    """
    for name in config.by:
        if name not in ANNOTATORS:
            raise ConfigError(f"--by {name}: there are {', '.join(ANNOTATORS)}")
    if len(set(config.by)) < len(config.by):
        raise ConfigError(f"--by {','.join(config.by)}: names one twice")
    if DICTIONARY in config.by and not has_gold:
        raise ConfigError("--by dictionary: it is made of labelled documents; name them: --gold")
