"""Who labels notes: students, language models, a dictionary, a tagger, or several together."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from notesmith.annotation.language_model import LmAnnotator, Log
from notesmith.annotation.mentions import MentionAnnotator
from notesmith.annotation.silver import mask_doubtful, mean_scores, ranges_of, with_attributes
from notesmith.config.annotators import AnnotateConfig
from notesmith.corpus.labelling import Label
from notesmith.document import Document
from notesmith.errors import ConfigError
from notesmith.experiment.artefacts import SampleLog
from notesmith.experiment.stages import ANNOTATORS
from notesmith.experiment.stages.lm_labels import READERS
from notesmith.experiment.taught import Part, write_parts
from notesmith.ner.attributes import Attribute
from notesmith.ner.decode import Decision, WordScores, label_documents
from notesmith.ner.student import Student, load_student
from notesmith.ner.votes import Votes, nth_of
from notesmith.progress import OnProgress, silent

STUDENTS, DICTIONARY, TAGGER = "students", "dictionary", "tagger"
MODELS = tuple(READERS)
"""The annotators that are language models."""
_WITH_SCORES = Decision({}, scores=True)


@dataclass(frozen=True, slots=True)
class Said:
    """What annotators think of the words of notes, and the mentions that language models found.

    ``found`` has the notes with these mentions and their attributes, by annotator.
    """

    scores: Sequence[WordScores]
    found: Mapping[str, Sequence[Document]]


@dataclass(frozen=True, slots=True)
class Vote:
    """Annotators of the same labels whose distributions are averaged with equal weight.

    One that knows its mentions alone has no vote on other words, as in recipes.

    Attributes:
        labels: of all of them, in the order of the tags.
        annotators: by name. Attributes of mentions come from the students, or where none label,
            from the language models.
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
        """What annotators that find mentions could not use so far, by reason and annotator.

        The answers that language models gave are counted as well.
        """
        found: Counter[str] = Counter()
        for name, one in self.annotators.items():
            own: Mapping[str, int] = getattr(one, "counts", {})
            found.update({f"{what} ({name})": n for what, n in own.items()})
        return found

    def say(self, docs: Sequence[Document], *, on_progress: OnProgress = silent) -> Said:
        """What they think of ``docs``.

        Raises:
            StageError: one of them cut a document into other words.
        """
        said: dict[str, Sequence[WordScores]] = {}
        found: dict[str, Sequence[Document]] = {}
        for k, (name, one) in enumerate(self.annotators.items()):
            told = nth_of(k, len(self.annotators), on_progress)
            if name in MODELS and isinstance(one, MentionAnnotator):
                read = one.read(docs, told)
                found[name], said[name] = read.docs, read.scores
            else:
                said[name] = one.predict_scores(docs, on_progress=told)
        return Said(self._mean(docs, said), found)

    def _mean(
        self, docs: Sequence[Document], said: Mapping[str, Sequence[WordScores]]
    ) -> Sequence[WordScores]:
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

    def label(self, docs: Sequence[Document], said: Said) -> list[Document]:
        """``docs`` with the mentions that ``said`` decides on, their scores and attributes."""
        found = label_documents(
            docs,
            said.scores,
            self.labels,
            model=self.name,
            decision=_WITH_SCORES,
            attributes=self.attributes,
        )
        if STUDENTS in self.annotators or not said.found:
            return list(found)
        return [
            with_attributes(doc, others)
            for doc, *others in zip(found, *said.found.values(), strict=True)
        ]


def vote_of(
    config: AnnotateConfig,
    gold: Sequence[Document],
    labels: tuple[str, ...],
    students: Student | None,
    *,
    models: Mapping[str, LmAnnotator],
    logs: Path,
) -> Vote:
    """The annotators that ``config.by`` names.

    Args:
        config: who they are.
        gold: labelled documents; the dictionary is made of them, and they measure a tagger.
        labels: of the project.
        students: those that vote, where ``config.by`` names them.
        models: language models that label, by annotator.
        logs: folder for their answers about the chunk that is being labelled.

    Raises:
        ConfigError: an annotator lacks what it needs, or knows other labels.
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
        elif name in models:
            found[name] = _reading(models[name], labels, partial(_log_of, logs, name))
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


def _reading(
    model: LmAnnotator, labels: tuple[str, ...], log: Callable[[Sequence[Document]], Log]
) -> Student:
    """``model`` as an annotator of ``labels``, in their order."""
    reader = model.as_student(log)
    if set(reader.labels) != set(labels):
        raise ConfigError(
            f"the students know the labels {', '.join(labels)}, and the labelled documents have "
            f"{', '.join(reader.labels)}; let them label apart, or name the documents that the "
            "students learnt from with --gold"
        )
    return replace(reader, labels=labels)


def _log_of(folder: Path, name: str, docs: Sequence[Document]) -> SampleLog:
    return SampleLog(_log_path(folder, name, docs))


def _log_path(folder: Path, name: str, docs: Sequence[Document]) -> Path:
    return part_path(folder, docs).with_suffix(f".{name}.jsonl")


def load_students(folders: Sequence[Path], *, exact: bool) -> Student:
    """The students of ``folders``, voting where there are several.

    With ``exact`` they compute in float32, so that what they say of a note does not depend on the
    notes beside it; without, as each was trained.

    Raises:
        ModelError: a folder is damaged or holds no student.
    """
    found = [load_student(folder) for folder in folders]
    student = found[0] if len(found) == 1 else Votes(tuple(found))
    return in_float32(student) if exact else student


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

    They are written before the chunk counts as done, so a chunk that is done has them. Logs of
    answers about it are not needed any more then.
    """

    def label(docs: Sequence[Document], *, on_progress: OnProgress = silent) -> list[Document]:
        before = vote.counts
        said = vote.say(docs, on_progress=on_progress)
        found = vote.label(docs, said)
        if config.labels == "masked":
            found = [
                mask_doubtful(doc, one, doubtful=config.doubtful)
                for doc, one in zip(found, said.scores, strict=True)
            ]
        part = Part.of(found, said.scores)
        write_parts(part_path(folder, docs), vote.labels, [part], vote.counts - before)
        for name in vote.annotators:
            _log_path(folder, name, docs).unlink(missing_ok=True)
        return found

    return label


def part_path(folder: Path, docs: Sequence[Document]) -> Path:
    """Where the distributions of a chunk stand; the first note of a chunk tells it from others."""
    name = hashlib.blake2b(docs[0].id.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return folder / f"{name}.npz"


def check_annotators(names: Sequence[str], *, has_gold: bool, saved: Collection[str] = ()) -> None:
    """See that ``names`` are annotators that can label here; ``saved`` ones need no gold.

    Raises:
        ConfigError: one is unknown, stands twice, or needs gold that is not given.
    """
    for name in names:
        if name not in ANNOTATORS:
            raise ConfigError(f"--by {name}: there are {', '.join(ANNOTATORS)}")
        if not has_gold and name == DICTIONARY:
            raise ConfigError(
                "--by dictionary: it is made of labelled documents; name them: --gold"
            )
        if not has_gold and name in MODELS and name not in saved:
            raise ConfigError(
                f"--by {name}: the language model learns from labelled documents; name them: --gold"
            )
    if len(set(names)) < len(names):
        raise ConfigError(f"--by {','.join(names)}: names one twice")
