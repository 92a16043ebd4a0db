"""The one place that calls ``from_pretrained``: no code, no network, no pickles, no lost weights.

Other modules hand a folder in and get a model whose every weight came from its files.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from notesmith.errors import MissingExtraError, ModelError
from notesmith.models.door import (
    CONFIG,
    CONSTANTS,
    TOKENIZER,
    check_folder,
    check_tokenizer_folder,
    read_json,
)

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

_SHOWN = 3
_TAGGER = "ForTokenClassification"


def require(module: str, extra: str) -> Any:
    """Import ``module``.

    Raises:
        MissingExtraError: it is absent; the message names the extra that brings it.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtraError(module.replace("_", "-"), extra) from error


def pretrained(loader: Any, folder: Path, **options: Any) -> Any:
    """``loader.from_pretrained`` of a folder on this machine, with nothing but what is in it.

    Raises:
        ModelError: whatever the libraries say of it, on one line that names the folder.
    """
    try:
        with offline(), quiet():
            return loader.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True, **options
            )
    except BaseException as error:
        # Parsers written in Rust panic on some files, with a class that is no Exception.
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ModelError(f"{folder}: cannot be loaded: {_reason(error)}") from error


def read_causal(folder: Path, dtype: torch.dtype) -> PreTrainedModel:
    """A causal language model whose weights are all there, in ``dtype``.

    Raises:
        ModelError: the folder is refused (see ``door``), or a weight is missing, of another shape
            or no number.
    """
    from transformers import AutoModelForCausalLM

    check_folder(folder)
    model, report = pretrained(
        AutoModelForCausalLM,
        folder,
        dtype=dtype,
        use_safetensors=True,
        output_loading_info=True,
    )
    _check_report(report, _own(model), folder)
    check_finite(model, folder)
    return model


def read_tagger(folder: Path, tags: Sequence[str] | None = None, *, spare: bool = False) -> Any:
    """A token classification model in float32.

    Args:
        folder: of an encoder, or of a tagger.
        tags: give the encoder a new head for these; without them every weight of the head must be
            in the files too.
        spare: the files of a tagger may hold weights besides, such as a pooler that was saved with
            it; otherwise that is an error.

    Raises:
        ModelError: as ``read_causal``; or the folder holds a head of other tags.
    """
    try:
        from transformers import AutoConfig, AutoModelForTokenClassification
    except ImportError as error:
        raise MissingExtraError("transformers", "models") from error
    check_folder(folder)
    head: dict[str, Any] = {}
    if tags is not None:
        _refuse_other_head(folder, tags)
        head = {"id2label": dict(enumerate(tags)), "label2id": {t: i for i, t in enumerate(tags)}}
    config = pretrained(AutoConfig, folder, **head)
    model, report = pretrained(
        AutoModelForTokenClassification,
        folder,
        config=config,
        dtype="float32",
        use_safetensors=True,
        output_loading_info=True,
    )
    own, base = _own(model), f"{model.base_model_prefix}."
    head_names = tuple(name for name in own if not name.startswith(base))
    if len(head_names) == len(own):
        raise ModelError(f"{folder}: {config.model_type!r} has no encoder that a head stands on")
    may_be_new = () if tags is None else head_names
    _check_report(report, own, folder, may_be_new, exact=tags is None and not spare)
    check_finite(model, folder, but=frozenset(may_be_new))
    return model


def read_tokenizer(folder: Path, *, as_written: bool = False) -> PreTrainedTokenizerFast:
    """The tokenizer of a folder; ``as_written`` takes ``tokenizer.json`` for all that it is.

    Raises:
        ModelError: it asks for code, is damaged, or gives no character offsets.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    check_tokenizer_folder(folder)
    # Model-specific classes rebuild the tokenizer from parts of the file; the plain one does not.
    plain = as_written and (folder / TOKENIZER).exists()
    found = pretrained(PreTrainedTokenizerFast if plain else AutoTokenizer, folder)
    if not getattr(found, "is_fast", False):
        raise ModelError(f"{folder}: its tokenizer gives no character offsets")
    return found


def check_vocabulary(tokenizer: Any, model: Any, folder: Path) -> None:
    """Raise ModelError where a token has no row in the embedding: the two are not of one model."""
    try:
        n_rows = model.get_input_embeddings().weight.shape[0]
    except (NotImplementedError, AttributeError) as error:
        raise ModelError(
            f"{folder}: an encoder without a table of tokens cannot be used"
        ) from error
    highest = max(tokenizer.get_vocab().values(), default=-1)
    if highest >= n_rows:
        raise ModelError(
            f"{folder}: its tokenizer has token {highest} and its embedding {n_rows} rows; they "
            "are not of one model"
        )


def check_finite(model: Any, folder: Path, *, but: frozenset[str] = frozenset()) -> None:
    """Raise ModelError where a weight is infinite or not a number."""
    import torch

    for name, weight in model.named_parameters():
        # A sum is no number if a term is none, and takes a third of the time of looking at each.
        suspect = name not in but and not bool(weight.sum(dtype=torch.float32).isfinite())
        if suspect and not bool(weight.isfinite().all()):
            raise ModelError(
                f"{folder}: {name} holds values that are no numbers; the folder is damaged"
            )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from drawing bars and tables: telling is ours."""
    from transformers.utils import logging as transformers_logging

    shown = transformers_logging.is_progress_bar_enabled()
    verbosity = transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if shown:
            transformers_logging.enable_progress_bar()


@contextmanager
def offline() -> Iterator[None]:
    """The hub's library refuses requests, whatever a configuration names, while this lasts."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _own(model: Any) -> frozenset[str]:
    return frozenset(model.state_dict())


def _refuse_other_head(folder: Path, tags: Sequence[str]) -> None:
    config = read_json(folder / CONFIG)
    kinds = config.get("architectures")
    if not isinstance(kinds, list) or not any(str(kind).endswith(_TAGGER) for kind in kinds):
        return
    has = config.get("id2label")
    if not isinstance(has, dict) or list(has.values()) != list(tags):
        raise ModelError(
            f"{folder}: holds a tagging head of other labels; name the encoder that it was trained "
            "from"
        )


def _check_report(
    report: dict[str, Any],
    own: frozenset[str],
    folder: Path,
    may_be_new: Sequence[str] = (),
    *,
    exact: bool = False,
) -> None:
    """Raise ModelError unless the files hold the model's weights, and no more of their kind.

    Weights of another head, or of a tower that this model lacks, are left out by transformers and
    may be; with ``exact`` nothing may be left out.
    """
    missing = sorted(set(report["missing_keys"]) - set(may_be_new))
    if missing:
        raise ModelError(
            f"{folder}: {len(missing)} of {len(own)} weights are not in its files "
            f"({_named(missing)}); it is damaged, or of another model than {CONFIG} says"
        )
    wrong = sorted(name for name, *_ in report["mismatched_keys"])
    if wrong:
        raise ModelError(
            f"{folder}: {len(wrong)} weights have another shape than {CONFIG} says "
            f"({_named(wrong)})"
        )
    parts = {_part(name, own) for name in own}
    left = sorted(
        name
        for name in report["unexpected_keys"]
        if (exact or _part(name, own) in parts) and not name.endswith(CONSTANTS)
    )
    if left:
        raise ModelError(
            f"{folder}: {len(left)} weights in its files have no place in the model that {CONFIG} "
            f"describes ({_named(left)})"
        )


def _part(name: str, own: frozenset[str]) -> str:
    """The part of a model that a weight belongs to, such as ``encoder``, without a prefix."""
    prefixes = {n.partition(".")[0] for n in own}
    first, _, rest = name.partition(".")
    return rest.partition(".")[0] if first in prefixes and "." in rest else first


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:_SHOWN])
    return shown if len(names) <= _SHOWN else f"{shown}, …"


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
