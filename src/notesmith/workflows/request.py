"""The input of a workflow: documents as values or files, held-out documents, a saved generator."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from notesmith.config.corpus import ReadingConfig
from notesmith.config.recipe import RecipeConfig
from notesmith.corpus.formats.jsonl import dumps
from notesmith.corpus.reading import check_named, read_corpus
from notesmith.corpus.splits import find_splits
from notesmith.document import Document, labels_of
from notesmith.errors import ConfigError, CorpusError
from notesmith.experiment.recipes import corpus_path
from notesmith.experiment.stages.given import ABOUT, Generator, read_generator
from notesmith.files.checksums import hash_path
from notesmith.files.write import atomic_write_text
from notesmith.workflows.beside import Place

Documents = Path | str | Sequence[Document]


@dataclass(frozen=True, slots=True)
class Request:
    """The input: documents, where they are, what is held out, and the generator.

    A workflow that needs no labelled documents has none of them: ``docs`` is empty, and ``paths``
    has only what is held out.
    """

    place: Place
    docs: Sequence[Document]
    paths: Mapping[str, Path]
    reading: ReadingConfig
    seed: int
    texts: Mapping[Path, str]
    generator: Path | None
    about: Generator | None

    @classmethod
    def of(
        cls,
        place: Place,
        documents: Documents | None,
        held_out: Sequence[Documents],
        *,
        reading: ReadingConfig,
        generator: Path | None = None,
        seed: int,
    ) -> Request:
        """Read the input, and check that its parts fit together.

        Raises:
            ConfigError: the generator writes other labels or would repeat its first text, the
                output lies in a folder that is read, or the documents hold a test set.
            CorpusError: documents cannot be read, or none has a mention.
            ModelError: ``generator`` is not a saved generator.
        """
        texts: dict[Path, str] = {}

        def path_of(value: Documents) -> Path:
            if isinstance(value, Path | str):
                return corpus_path(str(value))
            text = "".join(f"{dumps(doc)}\n" for doc in value)
            path = place.work / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"
            texts[path] = text
            return path

        paths = {} if documents is None else {"train": path_of(documents)}
        if isinstance(documents, Path | str):
            _refuse_parts(paths["train"])
        others = [path_of(value) for value in held_out]
        for path in (*paths.values(), *others):
            refuse_inside(path, place)
        if isinstance(documents, Path | str):
            corpus = read_corpus(paths["train"], reading, expect_mentions=False)
            check_named(reading, [corpus])
            docs: Sequence[Document] = corpus.docs
        else:
            docs, reading = list(documents or ()), ReadingConfig() if documents else reading
        if documents is not None and not any(doc.entities for doc in docs):
            raise CorpusError("no document has a labelled mention; name the labelled documents")
        # By content, so that the order in which they are named changes nothing.
        others.sort(key=lambda path: _hash(path, texts))
        paths |= {f"held-out-{i + 1}": path for i, path in enumerate(others)}
        found = cls(place, docs, paths, reading, seed, texts, generator, None)
        return found if generator is None else replace(found, about=found._fitting(generator))

    @property
    def is_of_other_gold(self) -> bool:
        """Whether the generator was tuned on documents other than those given."""
        return self.about is not None and self.about.gold != hash_of(self.docs)

    @property
    def n_held_out(self) -> int:
        """Number of files of documents that made text must not repeat."""
        return len(self.held_out)

    @property
    def held_out(self) -> tuple[Path, ...]:
        """Files of documents that are held out."""
        return tuple(path for name, path in self.paths.items() if name != "train")

    def hash_at(self, path: Path) -> str:
        """The hash of documents, which stand in a file or were given as values."""
        return _hash(path, self.texts)

    def _fitting(self, folder: Path) -> Generator:
        about = read_generator(folder)
        labels = labels_of(self.docs)
        if labels != about.labels:
            raise ConfigError(
                f"{folder}: writes the labels {', '.join(about.labels)}, and the documents have "
                f"{', '.join(labels)}; name the documents that it was tuned on"
            )
        if self.seed == about.seed:
            raise ConfigError(
                f"--seed {self.seed}: the generator wrote its first text with this seed and would "
                f"write the same again; give another, such as --seed {self.seed + 1}"
            )
        return about

    def settings(
        self, config: RecipeConfig, *, n: int | None, hours: float | None
    ) -> dict[str, Any]:
        """Everything that determines the result, for the marker."""
        values = config.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
        values["corpus"].pop("train")
        values.pop("hub", None)
        for name in ("name", "draws", "arm"):
            values.pop(name, None)
        return {
            **values,
            "arm": config.arm[1].model_dump(mode="json", exclude_none=True, exclude_defaults=True),
            "seed": config.draws.seed,
            "GOLD": self.hash_at(self.paths["train"]),
            "held-out": [self.hash_at(path) for path in self.held_out],
            "lists": {
                name: {label: hash_path(corpus_path(path)) for label, path in lists.items()}
                for name, lists in (
                    ("names", config.synthesize.names.term_lists),
                    ("concepts", config.synthesize.concepts),
                )
            },
            "generator": hash_path(self.generator / ABOUT) if self.generator else None,
            **({"hours": hours, "n": n} if hours else {}),
        }

    def write_documents(self) -> None:
        """Write documents that were given as values into the work folder."""
        for path, text in self.texts.items():
            if not path.exists():
                atomic_write_text(path, text)


def hash_of(docs: Sequence[Document]) -> str:
    """A hash of the documents' content, independent of the file they came from."""
    return hashlib.sha256("".join(map(dumps, docs)).encode()).hexdigest()


def _hash(path: Path, texts: Mapping[Path, str]) -> str:
    if path in texts:
        return hashlib.sha256(texts[path].encode()).hexdigest()
    return hash_path(path)


def refuse_inside(documents: Path, place: Place) -> None:
    """Refuse an output inside the folder that is read: the next call would read made text."""
    if documents.is_dir() and place.kept.resolve().is_relative_to(documents.resolve()):
        raise ConfigError(
            f"{place.kept}: lies in the folder that is read, {documents}; name a file elsewhere "
            "with --out"
        )


def _refuse_parts(documents: Path) -> None:
    """Refuse a folder that holds train and test: the test set would be learnt from."""
    parts = find_splits(documents)
    if {"train", "test"} <= parts.keys():
        raise ConfigError(
            f"{documents}: holds {', '.join(parts)}; name the one to learn from, "
            f"{parts['train']}, and the others with --held-out"
        )
