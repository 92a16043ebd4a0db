"""A student that was exported to ONNX, run by onnxruntime: predictions without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from notesmith.config.student import NerConfig
from notesmith.document import Document, Span
from notesmith.errors import MissingExtraError, ModelError
from notesmith.models.manifest import check_manifest
from notesmith.ner.attributes import Attribute
from notesmith.ner.decode import (
    WordScores,
    unread,
    word_rows,
)
from notesmith.ner.protocol import Predicts
from notesmith.ner.settings import Export, read_settings
from notesmith.ner.windows import Encoded, Window, batches, encode
from notesmith.processors import n_cores, quota
from notesmith.progress import OnProgress, Progress, silent
from notesmith.words import GRID, tag_names

MODEL_FILE = "model.onnx"
INPUTS = ("input_ids", "attention_mask")
OUTPUT = "logits"
ATTRIBUTES = "attributes"
"""The second output, where attributes were learnt: their classes, side by side."""


@dataclass(frozen=True, slots=True)
class OnnxModel(Predicts):
    """A session of onnxruntime with the tokenizer and settings of the student."""

    session: Any
    tokenizer: Tokenizer
    labels: tuple[str, ...]
    name: str
    config: NerConfig
    export: Export
    attributes: tuple[Attribute, ...] = ()
    grid: int = GRID

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
        """Tag probabilities of every word; for one that the tokenizer drops see ``unread``."""
        limit = self.export.max_positions
        encoded = encode(docs, self.tokenizer, self.config, max_positions=limit, grid=self.grid)
        probabilities = unread(encoded.words, len(self.tags))
        n_classes = sum(a.n_classes for a in self.attributes)
        classes = word_rows(encoded.words, n_classes)
        for window, found in self._run(encoded, batch_tokens, on_progress):
            index = list(window.word_index)
            probabilities[window.doc][index] = softmax(found[0])
            if self.attributes:
                classes[window.doc][index] = found[1]
        return [
            WordScores(w, probabilities[i], attributes=classes[i] if self.attributes else None)
            for i, w in enumerate(encoded.words)
        ]

    def _run(
        self, encoded: Encoded, batch_tokens: int, on_progress: OnProgress
    ) -> Iterator[tuple[Window, list[NDArray[np.float32]]]]:
        """Windows with rows of their words, of each output."""
        began, done, tokens = perf_counter(), 0, 0
        for windows in batches(encoded.windows, batch_tokens):
            outputs = self.outputs([window.input_ids for window in windows])
            for i, window in enumerate(windows):
                yield window, [self._words(window, rows[i]) for rows in outputs]
            tokens += sum(map(len, windows))
            done += len(windows)
            total, seconds = len(encoded.windows), perf_counter() - began
            on_progress(Progress("predict", done, total, "units", tokens, seconds))

    def outputs(self, ids: Sequence[Sequence[int]]) -> list[NDArray[np.float32]]:
        """What the model gives for rows of token ids, padded to the longest: its logits.

        First those of tags, then those of attributes where there are some.
        """
        longest = max(map(len, ids))
        table = np.full((len(ids), longest), self.export.pad, np.int64)
        mask = np.zeros((len(ids), longest), np.int64)
        for i, row in enumerate(ids):
            table[i, : len(row)] = row
            mask[i, : len(row)] = 1
        fed = dict(zip(INPUTS, (table, mask), strict=True))
        names = [OUTPUT, ATTRIBUTES] if self.attributes else [OUTPUT]
        found: list[NDArray[np.float32]] = self.session.run(names, fed)
        return found

    def _words(self, window: Window, rows: NDArray[np.float32]) -> NDArray[np.float32]:
        if self.config.pieces == "first":
            return rows[[start for start, _ in window.pieces]]
        means = [rows[start:end].mean(axis=0) for start, end in window.pieces]
        return np.array(means, np.float32).reshape(len(means), rows.shape[1])


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows as probabilities."""
    raised = np.exp(logits - logits.max(axis=-1, keepdims=True))
    found: NDArray[np.float32] = raised / raised.sum(axis=-1, keepdims=True)
    return found


class Tokenizer:
    """A fast tokenizer's file, called in the two ways that ``windows`` calls one of transformers.

    State: the tokenizer, with the cutting and padding that its file may ask for switched off.
    """

    def __init__(self, path: Path) -> None:
        """Read ``path``."""
        from tokenizers import Tokenizer as Fast

        self._fast = Fast.from_file(str(path))
        self._fast.no_truncation()
        self._fast.no_padding()

    def __call__(
        self, text: str | list[str], *, add_special_tokens: bool = True, **kwargs: object
    ) -> dict[str, Any]:
        """Ids and character offsets of one text or of each of several."""
        if isinstance(text, str):
            return {"input_ids": self._fast.encode(text, add_special_tokens=add_special_tokens).ids}
        found = self._fast.encode_batch(text, add_special_tokens=add_special_tokens)
        offsets: list[list[Span]] = [one.offsets for one in found]
        return {"input_ids": [one.ids for one in found], "offset_mapping": offsets}


def load_onnx(folder: Path | str, *, threads: int | None = None) -> OnnxModel:
    """Load what ``export_onnx`` wrote; ``threads`` to compute on, those it may use if not given.

    Raises:
        ModelError: the folder is not such an export or cannot be read.
        MissingExtraError: onnxruntime or tokenizers is absent.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    if settings.onnx is None:
        raise ModelError(f"{folder}: not exported to ONNX; use load_ner, or notesmith export")
    try:
        import onnxruntime
        import tokenizers  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(error.name or "onnxruntime", "onnx") from error
    check_manifest(folder, remedy="export the model anew")
    onnxruntime.disable_telemetry_events()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    # Threads that wait in a loop take the cores of other work, and of each other.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if threads is None and quota() is not None:
        threads = n_cores()  # by itself it counts cores alone
    if threads is not None:
        options.intra_op_num_threads = threads
    path = folder / MODEL_FILE
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )
        tokenizer = Tokenizer(folder / "tokenizer.json")
    except Exception as error:  # Those of onnxruntime and tokenizers have no common root.
        raise ModelError(
            f"{folder}: {MODEL_FILE} or tokenizer.json cannot be loaded ({type(error).__name__}); "
            "export the model anew"
        ) from error
    model = OnnxModel(
        session,
        tokenizer,
        settings.labels,
        settings.encoder,
        settings.config,
        settings.onnx,
        settings.attributes,
        settings.grid,
    )
    _check_outputs(model, folder)
    return model


def _check_outputs(model: OnnxModel, folder: Path) -> None:
    """Raise ModelError unless the file computes what the settings speak of, in numbers."""
    sizes = [len(model.tags)]
    sizes += [sum(a.n_classes for a in model.attributes)] if model.attributes else []
    try:
        found = model.outputs([[model.export.pad + 1], [model.export.pad]])
        fits = [rows.shape[-1] for rows in found] == sizes
    except Exception as error:  # Those of onnxruntime have no common root.
        raise ModelError(
            f"{folder}: {MODEL_FILE} does not compute ({type(error).__name__}); export the model "
            "anew"
        ) from error
    if not fits or not all(np.isfinite(rows).all() for rows in found):
        raise ModelError(
            f"{folder}: {MODEL_FILE} is not of these labels, or gives no numbers; export the model "
            "anew"
        )
