"""A Hugging Face token classifier as an annotator: its probabilities as ours, word by word.

A word has the probabilities of its first piece, as with the aggregation ``first`` of the pipeline
of transformers. Long notes are read in windows that overlap, as those of students are, and a word
is decided where it stands furthest from a border. The folder comes through the same door as every
model: no code, no pickles, no weight left to chance.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from numpy.typing import NDArray

from notesmith.annotation.tagger import LabelMap
from notesmith.config.student import NerConfig
from notesmith.document import Document
from notesmith.models.load import check_vocabulary, read_tagger, read_tokenizer
from notesmith.ner.attributes import Attribute
from notesmith.ner.batch import collate
from notesmith.ner.decode import WordScores, word_rows
from notesmith.ner.encoder import Encoder, max_positions
from notesmith.ner.protocol import Predicts
from notesmith.ner.windows import batches, encode
from notesmith.progress import OnProgress, Progress, silent

# B, I and L or E (the last word), S or U (the only word); a tag without one is that of its label.
_TAG = re.compile(r"([BIELSU])[-_](.+)")
_BEGINS = frozenset("BSU")
_OUTSIDE = "O"
_WINDOWS = NerConfig(unit="document", max_tokens=512, stride=128)


@dataclass(frozen=True, slots=True)
class TransformersTagger(Predicts):
    """A token classifier, used like a student.

    ``begins`` and ``inside`` (outputs, labels) say by 0 and 1 which outputs of the model begin a
    mention of a label, and which go on with one or have no prefix. All others are O.
    """

    encoder: Encoder
    labels: tuple[str, ...]
    name: str
    begins: NDArray[np.float32]
    inside: NDArray[np.float32]

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        """None."""
        return ()

    def predict_scores(
        self,
        docs: Sequence[Document],
        *,
        batch_tokens: int = 4096,
        on_progress: OnProgress = silent,
    ) -> list[WordScores]:
        """Tag probabilities of every word; one that the tokenizer drops is O."""
        model = self.encoder.model
        encoded = encode(docs, self.encoder.tokenizer, _WINDOWS, max_positions=max_positions(model))
        rows = word_rows(encoded.words, len(self.begins))
        model.eval()
        device = next(model.parameters()).device
        began, done, tokens = perf_counter(), 0, 0
        for windows in batches(encoded.windows, batch_tokens):
            batch = collate(windows, pad=self.encoder.pad, pieces="first").to(device)
            with torch.inference_mode():
                values = batch.words(model(**batch.inputs).logits).softmax(-1).cpu().numpy()
            first = 0
            for window in windows:
                stop = first + len(window.word_index)
                rows[window.doc][list(window.word_index)] = values[first:stop]
                first = stop
            tokens, done = tokens + batch.n_tokens, done + len(windows)
            seconds = perf_counter() - began
            on_progress(Progress("tagger", done, len(encoded.windows), "units", tokens, seconds))
        return [
            WordScores(words, as_ours(theirs, self.begins, self.inside))
            for words, theirs in zip(encoded.words, rows, strict=True)
        ]


def as_ours(
    theirs: NDArray[np.float32], begins: NDArray[np.float32], inside: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Probabilities of B and I tags from those of a tagger's outputs, one row a word.

    A word begins a mention unless the most probable label of the word before is the same: so tags
    without a prefix, and schemes in which I begins a mention, mean what they mean there. What is
    left of a row is O.
    """
    begin, go_on = theirs @ begins, theirs @ inside
    mass = begin + go_on
    rest = 1 - mass.sum(axis=1, keepdims=True)
    best = np.concatenate([rest, mass], axis=1).argmax(axis=1) - 1
    goes_on = np.zeros(mass.shape, bool)
    goes_on[np.flatnonzero(best[:-1] >= 0) + 1, best[:-1][best[:-1] >= 0]] = True
    ours = np.zeros((len(theirs), 2 * mass.shape[1] + 1), np.float32)
    ours[:, 0] = np.clip(rest[:, 0], 0, 1)
    ours[:, 1::2] = np.where(goes_on, begin, mass)
    ours[:, 2::2] = np.where(goes_on, go_on, 0)
    return ours


def load_transformers(
    folder: Path, labels: tuple[str, ...], label_map: Mapping[str, str]
) -> TransformersTagger:
    """Load the token classifier of a folder.

    Args:
        folder: as ``save_pretrained`` writes it, with a fast tokenizer and safetensors.
        labels: of the project.
        label_map: their label, without its prefix, to ours; '' drops.

    Raises:
        MissingExtraError: transformers is absent.
        ModelError: the folder is refused, or weights of the head are missing.
        ConfigError: a label is not mapped.
    """
    model = read_tagger(folder, spare=True)
    tokenizer = read_tokenizer(folder)
    check_vocabulary(tokenizer, model, folder)
    tags = [_parts(model.config.id2label[i]) for i in range(model.config.num_labels)]
    mapping = LabelMap.of({label for _, label in tags if label}, labels, label_map)
    begins = np.zeros((len(tags), len(labels)), np.float32)
    inside = np.zeros((len(tags), len(labels)), np.float32)
    for i, (prefix, label) in enumerate(tags):
        if own := mapping.ours[label] if label else "":
            (begins if prefix in _BEGINS else inside)[i, labels.index(own)] = 1
    return TransformersTagger(
        Encoder(model, tokenizer, folder.name, None), labels, folder.name, begins, inside
    )


def _parts(tag: str) -> tuple[str, str]:
    """The prefix and the label of a tag; both empty for O."""
    if tag == _OUTSIDE:
        return "", ""
    match = _TAG.fullmatch(tag)
    return (match[1], match[2]) if match else ("", tag)
