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

from notesmith.errors import MissingExtraError, ModelError
from notesmith.ner.encoder import max_positions
from notesmith.ner.model import NerModel
from notesmith.ner.onnx_model import INPUTS, MODEL_FILE, OUTPUT, load_onnx, softmax
from notesmith.ner.settings import Export, Settings, write_settings

TOLERANCE = 1e-3
"""How far a tag's probability may be from the model's own, on made-up units."""
_OPSET = 18
# Weights beyond this many bytes do not fit one ONNX file and stand beside it.
_ONE_FILE = 1_900_000_000


def export_onnx(model: NerModel, folder: Path | str) -> float:
    """Write ``model`` as a folder that ``load_student`` runs without torch.

    The folder holds ``model.onnx`` (token ids and attention mask in, logits out, any batch and
    length), the tokenizer, the configuration and the settings; weights stay float32.

    Returns:
        the largest difference of a tag's probability on made-up units.

    Raises:
        MissingExtraError: what writes or runs ONNX is absent.
        ModelError: the encoder cannot be exported, or computes otherwise afterwards.
    """
    from notesmith.corpus.files import atomic_folder

    for package in ("onnx", "onnxscript", "onnxruntime", "tokenizers"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "onnx")
    export = Export(model.encoder.pad, max_positions(model.model))
    device = next(model.model.parameters()).device
    with atomic_folder(Path(folder)) as temporary, _moved(model.model, "cpu", back=device):
        _write(model.model, temporary / MODEL_FILE)
        model.model.config.save_pretrained(temporary)
        model.tokenizer.save_pretrained(temporary)
        write_settings(Settings(model.labels, model.name, model.config, export), temporary)
        ids = _units(model, export)
        exported = load_onnx(temporary)
        difference = max(
            float(np.abs(softmax(exported.logits([row])[0]) - _plain(model.model, row)).max())
            for row in ids
        )
        if not difference < TOLERANCE:
            raise ModelError(
                f"encoder {model.name!r}: its ONNX form differs by {difference:.2g} in a tag's "
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


class _Logits(torch.nn.Module):
    """The model with positional arguments and the logits alone as its output."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        return self.model(input_ids=input_ids, attention_mask=attention_mask).logits


def _write(model: Any, path: Path) -> None:
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
                _Logits(model).eval(),
                (ids, mask),
                str(path),
                input_names=list(INPUTS),
                output_names=[OUTPUT],
                dynamic_shapes=dict.fromkeys(INPUTS, sizes),
                opset_version=_OPSET,
                dynamo=True,
                external_data=n_bytes > _ONE_FILE,
                verbose=False,
            )
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


def _plain(model: Any, row: Sequence[int]) -> Any:
    """Probabilities of the plain model in float32."""
    ids = torch.tensor([list(row)])
    with torch.inference_mode():
        out = model(input_ids=ids, attention_mask=torch.ones_like(ids))
    return out.logits[0].float().softmax(-1).numpy()
