"""What the stages share: names of files, and how a cell's inputs are read."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notesmith.config.corpus import ReadingConfig
from notesmith.config.generator import LmConfig
from notesmith.config.student import NerConfig
from notesmith.corpus.parts import PARTS, Apart, keep_apart
from notesmith.corpus.reading import CorpusRead, read_corpus
from notesmith.document import Document
from notesmith.evaluate.scores import CellScores
from notesmith.experiment import artefacts as files
from notesmith.experiment.cost import CorpusStats
from notesmith.experiment.graph import Work
from notesmith.experiment.metrics import Metrics
from notesmith.metrics import fold_mention
from notesmith.results import CorpusCounts, Model
from notesmith.segments import sentences

if TYPE_CHECKING:
    from notesmith.lm.load import LanguageModel

SCORES = "scores.json"
PREDICTIONS = "predictions.json"
INFO = "info.json"


class Made(Metrics):
    """How large the made documents of a stage are."""

    made: CorpusCounts


def describe(docs: Sequence[Document]) -> CorpusCounts:
    """Counts that the report shows for a corpus."""
    return CorpusCounts(
        documents=len(docs),
        sentences=sum(len(sentences(doc.text)) for doc in docs),
        entities=sum(len(doc.entities) for doc in docs),
    )


def read(path: Path, config: ReadingConfig, *, expect_mentions: bool = True) -> CorpusRead:
    """Read a corpus as [corpus] says; ``expect_mentions`` is as in ``read_corpus``."""
    return read_corpus(path, config, expect_mentions=expect_mentions)


@dataclass(frozen=True, slots=True)
class PartsRead:
    """Train, dev and test as they are used, each without what stands in the parts after it.

    ``reads`` are the parts as they stand in their files.
    """

    apart: Apart
    reads: Mapping[str, CorpusRead]

    @property
    def docs(self) -> dict[str, list[Document]]:
        """Documents by part."""
        return self.apart.docs

    @property
    def left_out(self) -> dict[str, list[str]]:
        """Ids of the documents that are left out, of the parts that lose some."""
        return {name: [d.id for d in one.dropped] for name, one in self.apart.left_out.items()}


def read_parts(
    paths: Mapping[str, Path], config: ReadingConfig, *, first: str = "train"
) -> PartsRead:
    """Read train, dev and test as [corpus] says, and keep them apart.

    Args:
        paths: of the parts; other names are passed over.
        config: how files are read.
        first: read this part and those after it, in the order train, dev, test.

    Raises:
        CorpusError: a file cannot be read, or nothing is left of a part.
    """
    named = [part for part in PARTS[PARTS.index(first) :] if part in paths]
    found = {part: read(paths[part], config) for part in named}
    apart = keep_apart({part: corpus.docs for part, corpus in found.items()})
    return PartsRead(apart, found)


def load_scores(folder: Path) -> CellScores:
    """The scores that the folder of a scored cell holds."""
    return CellScores.from_json(json.loads((folder / SCORES).read_text(encoding="utf-8")))


def info_in(work: Work[Any]) -> dict[str, Any]:
    """What the draw wrote down of train as a whole: ``labels``, and names of ``attributes``."""
    found: dict[str, Any] = json.loads((work.inputs["gold"] / INFO).read_text(encoding="utf-8"))
    return found


def labels_in(work: Work[Any]) -> tuple[str, ...]:
    """The whole label set, as the draw wrote it down."""
    return tuple(info_in(work)["labels"])


def gold_in(work: Work[Any]) -> list[Document]:
    """The gold documents of the draw."""
    return files.load_docs(work.inputs["gold"])


def load_base(work: Work[Any], config: LmConfig, gold: Sequence[Document]) -> LanguageModel:
    """The base model; ``gold`` tells whether its trimmed vocabulary fits."""
    from notesmith.lm.load import load_lm

    return load_lm(config, cache=work.context.cache, sample_texts=[doc.text for doc in gold])


def load_tuned(work: Work[Any]) -> LanguageModel:
    """The generator that came before."""
    from notesmith.lm.load import load_lm

    model = work.inputs["model"] / files.MODEL
    return load_lm(LmConfig(model=str(model), trim=False), cache=work.context.cache)


def about(lm: LanguageModel) -> Model:
    """What reports and cards say of a language model."""
    return Model(
        name=lm.name,
        licence=lm.licence,
        terms=lm.terms,
        fingerprint=lm.fingerprint,
        parameters=sum(p.numel() for p in lm.model.parameters()),
    )


def folded_mentions(docs: Sequence[Document]) -> set[str]:
    """Distinct mentions, case and white space folded."""
    return {fold_mention(mention) for doc in docs for mention in doc.mentions()}


def keep_made(work: Work[Any], docs: Sequence[Document]) -> Made:
    """Save made documents and count them."""
    files.save_docs(docs, work.out)
    return Made(made=describe(docs))


def words_learnt(ner: NerConfig, facts: CorpusStats) -> float:
    """Words that a student is trained on."""
    return ner.steps * ner.batch_size * facts.train.read.mean


def texts_of(inputs: Mapping[str, Path]) -> dict[str, Path]:
    """The inputs of a cell but for gold."""
    return {name: folder for name, folder in inputs.items() if name != "gold"}
