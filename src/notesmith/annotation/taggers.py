"""The tagger that a configuration names, as an annotator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from notesmith.annotation.tagger import measured, of_predictions
from notesmith.config.annotators import TaggerConfig
from notesmith.corpus.reading import read_corpus
from notesmith.document import Document
from notesmith.errors import ConfigError
from notesmith.models.load import require
from notesmith.ner.protocol import Student


def open_tagger(
    config: TaggerConfig,
    labels: tuple[str, ...],
    *,
    gold: Sequence[Document],
    descriptions: Mapping[str, str] = {},
) -> Student:
    """Load the tagger; a token classifier of transformers keeps its own probabilities.

    Args:
        config: which it is.
        labels: of the project.
        gold: measures mentions that carry no score, unless ``config.score`` gives one, and what
            the tagger misses; of predictions in a file, those on documents that it has.
        descriptions: one line on a label, by label.

    Raises:
        ConfigError: no path is given, or a label is not mapped.
        CorpusError: the file of predictions cannot be read.
        MissingExtraError: the library of the tagger is not installed.
        ModelError: the folder or package is not a model of this kind.
    """
    if not config.path:
        raise ConfigError(
            "no tagger is named; give annotate.tagger.path, and annotate.tagger.kind unless it is "
            "a file of predictions"
        )
    path, label_map = Path(config.path).expanduser(), config.label_map
    if config.kind == "transformers":
        require("torch", "models")
        from notesmith.annotation.transformers_tagger import load_transformers

        return load_transformers(path, labels, label_map)
    if config.kind == "file":
        predicted = read_corpus(path, config.reading, expect_mentions=False).docs
        texts = {doc.id: doc.text for doc in predicted}
        gold = [doc for doc in gold if texts.get(doc.id) == doc.text]
        on_problem = config.reading.on_problem
        found = of_predictions(predicted, labels, label_map, on_problem=on_problem)
    elif config.kind == "spacy":
        from notesmith.annotation.spacy_tagger import load_spacy, of_spacy

        name, key = path.name, config.spans_key
        found = of_spacy(load_spacy(config.path), labels, label_map, name=name, spans_key=key)
    else:
        from notesmith.annotation.gliner_models import load_gliner
        from notesmith.annotation.gliner_tagger import of_gliner

        found = of_gliner(
            load_gliner(path, config.kind),
            labels,
            label_map,
            name=path.name,
            descriptions=descriptions,
            threshold=config.threshold,
        )
    return measured(found, gold, score=config.score)
