"""A trained student: predict documents and word probabilities; save and load."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from notesmith.config.student import NerConfig
from notesmith.document import Document
from notesmith.errors import ModelError
from notesmith.models.load import check_finite, quiet
from notesmith.models.manifest import write_manifest
from notesmith.ner.attribute_head import load_head, save_head
from notesmith.ner.attributes import Attribute
from notesmith.ner.batch import collate
from notesmith.ner.decode import (
    WordScores,
    unread,
    word_rows,
)
from notesmith.ner.encoder import Encoder, autocast, max_positions, open_encoder
from notesmith.ner.protocol import Predicts
from notesmith.ner.settings import Settings, read_settings, write_settings
from notesmith.ner.windows import Encoded, Window, batches, encode
from notesmith.progress import OnProgress, Progress, silent
from notesmith.words import GRID, tag_names


@dataclass(frozen=True, slots=True)
class NerModel(Predicts):
    """A token classification model of transformers, read word by word.

    Where ``attributes`` were learnt, ``attribute_head`` gives their classes, side by side. ``grid``
    is the version of the rules that make words, as the student was trained on them.
    """

    encoder: Encoder
    labels: tuple[str, ...]
    config: NerConfig
    attributes: tuple[Attribute, ...] = ()
    attribute_head: torch.nn.Linear | None = None
    grid: int = GRID

    @property
    def model(self) -> Any:
        """The token classification model of transformers."""
        return self.encoder.model

    @property
    def tokenizer(self) -> Any:
        """Its tokenizer."""
        return self.encoder.tokenizer

    @property
    def name(self) -> str:
        """The encoder that it was trained from."""
        return self.encoder.name

    @property
    def tags(self) -> tuple[str, ...]:
        """Tag names in the order of the model's outputs."""
        return tag_names(self.labels)

    def predict_scores(
        self,
        docs: Sequence[Document],
        *,
        batch_tokens: int = 4096,
        on_progress: OnProgress = silent,
    ) -> list[WordScores]:
        """Tag probabilities of every word, and the logits of attributes where some were learnt.

        A word that the tokenizer drops (a control character) has those of ``unread``.
        """
        limit = max_positions(self.model)
        encoded = encode(docs, self.tokenizer, self.config, max_positions=limit, grid=self.grid)
        probabilities = unread(encoded.words, len(self.tags))
        head = self.attribute_head
        classes = word_rows(encoded.words, head.out_features) if head is not None else None
        for window, probs, logits in self._run(encoded, batch_tokens, on_progress):
            index = list(window.word_index)
            probabilities[window.doc][index] = probs
            if classes is not None and logits is not None:
                classes[window.doc][index] = logits
        return [
            WordScores(w, probabilities[i], classes[i] if classes is not None else None)
            for i, w in enumerate(encoded.words)
        ]

    def _run(
        self, encoded: Encoded, batch_tokens: int, on_progress: OnProgress
    ) -> Iterator[tuple[Window, NDArray[np.float32], NDArray[np.float32] | None]]:
        """Windows with rows of their words: probabilities, and logits of attributes."""
        device = next(self.model.parameters()).device
        head = self.attribute_head.to(device) if self.attribute_head is not None else None
        self.model.eval()
        began, done, tokens = perf_counter(), 0, 0
        for windows in batches(encoded.windows, batch_tokens):
            batch = collate(
                windows,
                pad=self.encoder.pad,
                pieces=self.config.pieces,
                packed_from=self.encoder.packed_from,
            ).to(device)
            with torch.inference_mode(), autocast(device.type, self.config.bf16):
                out = self.model(**batch.inputs, output_hidden_states=head is not None)
                probs = batch.words(out.logits).softmax(-1).cpu().numpy()
                states = batch.words(out.hidden_states[-1]) if head is not None else None
            with torch.inference_mode():
                logits = head(states).cpu().numpy() if head is not None else None
            first = 0
            for window in windows:
                rows = slice(first, first + len(window.word_index))
                yield window, probs[rows], logits[rows] if logits is not None else None
                first = rows.stop
            tokens += batch.n_tokens
            done += len(windows)
            total, seconds = len(encoded.windows), perf_counter() - began
            on_progress(Progress("predict", done, total, "units", tokens, seconds))

    def count_unknown(self, docs: Sequence[Document]) -> Counter[str]:
        """Entities of ``docs`` whose label the model does not know, by label: it must miss them."""
        return Counter(e.label for d in docs for e in d.entities if e.label not in self.labels)

    def save(self, folder: Path | str) -> None:
        """Write a folder that plain transformers loads too; owner-only, all or nothing.

        The list of its files is written last; ``load_ner`` compares all of them with it.
        """
        from notesmith.files.write import atomic_folder

        with atomic_folder(Path(folder)) as temporary:
            with quiet():
                self.model.save_pretrained(temporary, safe_serialization=True)
            self.tokenizer.save_pretrained(temporary)
            if self.attribute_head is not None:
                save_head(self.attribute_head, temporary)
            settings = Settings(
                self.labels, self.name, self.config, attributes=self.attributes, grid=self.grid
            )
            write_settings(settings, temporary)
            write_manifest(temporary)


def load_ner(folder: Path | str) -> NerModel:
    """Load what ``NerModel.save`` wrote.

    Raises:
        ModelError: the folder is not a student of this project or cannot be read.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    if settings.votes:
        raise ModelError(
            f"{folder}: holds {settings.votes} students that vote; load it with load_student, or "
            "name the folder of one of them"
        )
    if settings.onnx is not None:
        raise ModelError(
            f"{folder}: exported to ONNX, to predict alone; load it with load_student, or name the "
            "folder it was exported from"
        )
    encoder = open_encoder(folder, settings.encoder)
    names = encoder.model.config.id2label
    tags = tuple(names.get(i) for i in range(encoder.model.config.num_labels))
    if tags != tag_names(settings.labels):
        raise ModelError(f"{folder}: the head's tags are not those of its labels")
    head = None
    if settings.attributes:
        head = load_head(settings.attributes, encoder.model.config.hidden_size, folder)
        check_finite(head, folder)
    return NerModel(
        encoder, settings.labels, settings.config, settings.attributes, head, settings.grid
    )
