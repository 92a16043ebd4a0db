"""Export a student to ONNX, and see that what comes out computes the same."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from notesmith.errors import MissingExtraError, ModelError
from notesmith.models.manifest import write_manifest
from notesmith.ner.encoder import max_positions
from notesmith.ner.model import NerModel
from notesmith.ner.onnx_model import ATTRIBUTES, INPUTS, MODEL_FILE, OUTPUT, load_onnx, softmax
from notesmith.ner.settings import Export, Settings, write_settings

TOLERANCE = 1e-3
"""How far a probability may be from the model's own, on made-up units."""
_OPSET = 18
# Weights beyond this many bytes do not fit one ONNX file and stand beside it.
_ONE_FILE = 1_900_000_000


def export_onnx(model: NerModel, folder: Path | str) -> float:
    """Write ``model`` as a folder that ``load_student`` runs without torch.

    The folder holds ``model.onnx`` (token ids and attention mask in, logits out, of tags and, where
    some were learnt, of attributes; any batch and length), the tokenizer, the configuration and the
    settings; weights stay float32.

    Returns:
        the largest difference of a tag's or attribute class's probability on made-up units.

    Raises:
        MissingExtraError: what writes or runs ONNX is absent.
        ModelError: the encoder cannot be exported, or computes otherwise afterwards.
    """
    from notesmith.files.write import atomic_folder

    for package in ("onnx", "onnxscript", "onnxruntime", "tokenizers"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "onnx")
    export = Export(model.encoder.pad, max_positions(model.model))
    device = next(model.model.parameters()).device
    outputs = _Outputs(model.model, model.attribute_head).eval()
    with atomic_folder(Path(folder)) as temporary, _moved(outputs, "cpu", back=device):
        _write(outputs, temporary / MODEL_FILE)
        model.model.config.save_pretrained(temporary)
        model.tokenizer.save_pretrained(temporary)
        write_settings(
            Settings(
                model.labels,
                model.name,
                model.config,
                export,
                model.attributes,
                model.grid,
            ),
            temporary,
        )
        write_manifest(temporary)
        ids = _units(model, export)
        exported = load_onnx(temporary)
        sizes = [len(model.tags), *(a.n_classes for a in model.attributes)]
        pairs = [
            (_chances(exported.outputs([row]), sizes), _plain(outputs, row, sizes)) for row in ids
        ]
        difference = max(float(np.abs(mine - theirs).max()) for mine, theirs in pairs)
        if not difference < TOLERANCE:
            raise ModelError(
                f"encoder {model.name!r}: its ONNX form differs by {difference:.2g} in a "
                "probability; it cannot be exported with these versions of torch and onnx"
            )
    return difference


@contextlib.contextmanager
def _moved(model: Any, to: str, *, back: torch.device) -> Iterator[None]:
    """The model on another device, for as long as this lasts."""
    model.to(to)
    try:
        yield
    finally:
        model.to(back)


class _Outputs(torch.nn.Module):
    """The model with positional arguments; logits alone as its outputs, of tags and attributes."""

    def __init__(self, model: Any, head: torch.nn.Linear | None) -> None:
        super().__init__()
        self.model = model
        self.head = head

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        if self.head is None:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits
        out = self.model(
            input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True
        )
        return out.logits, self.head(out.hidden_states[-1])


def _write(outputs: _Outputs, path: Path) -> None:
    model = outputs.model
    before = model.config._attn_implementation
    model.eval()
    # Two rows of unlike length: sizes of 1 would be taken for constants.
    ids = torch.ones(2, 16, dtype=torch.int64)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    sizes = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
    n_bytes = sum(p.numel() * p.element_size() for p in model.parameters())
    log = logging.getLogger("torch.onnx")
    level = log.level
    try:
        model.set_attn_implementation("eager")
        # The exporter prints its own progress and warns of its own workings.
        log.setLevel(logging.ERROR)
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                outputs,
                (ids, mask),
                str(path),
                input_names=list(INPUTS),
                output_names=[OUTPUT] if outputs.head is None else [OUTPUT, ATTRIBUTES],
                dynamic_shapes=dict.fromkeys(INPUTS, sizes),
                opset_version=_OPSET,
                dynamo=True,
                external_data=n_bytes > _ONE_FILE,
                verbose=False,
            )
    except OSError:  # of the disk, which whoever made the folder explains
        raise
    except Exception as error:  # The exporter's errors have no common root.
        raise ModelError(
            f"encoder {model.config.model_type!r} cannot be exported to ONNX with torch "
            f"{torch.__version__} ({type(error).__name__})"
        ) from error
    finally:
        log.setLevel(level)
        model.set_attn_implementation(before)


def _units(model: NerModel, export: Export) -> list[list[int]]:
    """Made-up units of several lengths, the longest that the student would read among them."""
    longest = min(model.config.max_tokens, export.max_positions or model.config.max_tokens)
    n_ids = model.model.get_input_embeddings().num_embeddings
    generator = torch.Generator().manual_seed(0)
    rows: list[list[int]] = []
    for length in (1, max(longest // 7, 1), longest):
        row = torch.randint(1, n_ids, (length,), generator=generator).tolist()
        rows.append([i if i != export.pad else (i + 1) % n_ids for i in row])
    return rows


def _plain(outputs: _Outputs, row: Sequence[int], sizes: Sequence[int]) -> NDArray[np.float32]:
    """Probabilities of the plain model in float32."""
    ids = torch.tensor([list(row)])
    with torch.inference_mode():
        out = outputs(ids, torch.ones_like(ids))
    rows = [out] if outputs.head is None else out
    return _chances([x.float().numpy() for x in rows], sizes)


def _chances(outputs: Sequence[NDArray[np.float32]], sizes: Sequence[int]) -> NDArray[np.float32]:
    """Probabilities of one row's pieces: of tags and of each attribute's classes, side by side."""
    logits = np.concatenate([x[0] for x in outputs], axis=-1)
    parts = np.split(logits, np.cumsum(sizes)[:-1], axis=-1)
    return np.concatenate([softmax(part) for part in parts], axis=-1)
