"""Adapt an encoder to notes: masked language modelling on their text, without any label.

The result is a folder of an encoder like any other, with the head that was trained beside it.
Interrupted work goes on from its last state, and takes the steps that it would have taken.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch

from notesmith.config.student import AdaptConfig
from notesmith.errors import FileError, StageError
from notesmith.files.write import (
    FILE_MODE,
    atomic_folder,
    atomic_write_text,
    make_folder,
    refuse_odd,
)
from notesmith.models.door import read_json
from notesmith.models.fingerprint import fingerprint_model
from notesmith.models.load import check_vocabulary, quiet, read_masked_lm, read_tokenizer
from notesmith.models.manifest import check_manifest, write_manifest
from notesmith.ner import encoder as encoders
from notesmith.ner.blocks import (
    HELD_OUT,
    NOTES,
    REPEATED,
    Masking,
    Special,
    digest_of,
    read_streams,
    read_written,
    used_ids,
    write_streams,
)
from notesmith.ner.mlm_head import compact_vocabulary
from notesmith.ner.mlm_train import Measured, Training, train_masked
from notesmith.processors import heed_quota
from notesmith.progress import OnProgress, silent

ABOUT = "notesmith-adapted.json"
"""What an adapted encoder's folder says of its making; counts and settings, no text."""
_SCHEMA = 1
# Bumped where the same notes and settings give another encoder.
_VERSION = 2
_BEGUN, _LOCK = "begun", "lock"


@dataclass(frozen=True, slots=True)
class Adapted:
    """An adapted encoder's folder and its cost.

    ``losses`` are in order; the first is that before anything was learnt. ``before`` is the index
    of the one to compare the last with: where the head was new, that of the head trained on the
    unchanged encoder. ``tokens`` are word pieces learnt from, each counted as often as it was seen.
    ``counts`` are notes by what became of them. ``is_new`` is False where the folder was there.
    """

    folder: Path
    losses: tuple[Measured, ...]
    before: int
    tokens: int
    seconds: float
    counts: Counter[str]
    is_new: bool = True


@dataclass(frozen=True, slots=True)
class _Task:
    """What is asked for but the notes; ``asked`` is a hash of it, ``work`` the folder of states."""

    encoder: str
    config: AdaptConfig
    seed: int
    out: Path
    work: Path
    asked: str

    @classmethod
    def of(cls, encoder: str, config: AdaptConfig, seed: int, out: Path) -> _Task:
        values = config.model_dump(mode="json", exclude_defaults=True)
        parts = [_VERSION, fingerprint_model(encoder), values, seed]
        asked = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
        return cls(encoder, config, seed, out, work_folder(out), asked)

    def key(self, digest: str) -> str:
        """The same with the notes, which ``digest`` stands for."""
        return hashlib.sha256(f"{self.asked} {digest}".encode()).hexdigest()


def work_folder(out: Path) -> Path:
    """Where the state of unfinished work for ``out`` is."""
    return out.with_name(f"{out.name}.work")


def adapt_encoder(
    texts: Iterable[str],
    *,
    encoder: str,
    config: AdaptConfig,
    out: Path | str,
    seed: int,
    on_progress: OnProgress = silent,
) -> Adapted:
    """Train ``encoder`` on ``texts`` as a masked language model and write it to the folder ``out``.

    ``texts`` are read once, as a stream. The state of unfinished work is in ``work_folder``, which
    holds the text of the notes as token ids, and is deleted at the end. The same call goes on with
    it, or does nothing where ``out`` is finished.

    Raises:
        FileError: ``out`` is there and was made of other notes or settings, or cannot be written.
        ModelError: ``encoder`` cannot be loaded, or is none for masked language modelling.
        StageError: the notes are too few, or others than those that the work was begun with; or
            the loss is no number.
    """
    task = _Task.of(encoder, config, seed, Path(out))
    if task.out.is_dir() and any(task.out.iterdir()):
        return _finished(task, texts)
    work = make_folder(task.work)
    with _locked(work):
        _begin(task)
        try:
            adapted = _adapted(texts, task, on_progress)
        except BaseException:
            if not _has_state(work):  # nothing to go on from, and notes in the clear
                _clear(work)
            raise
        _clear(work)
    return adapted


def _adapted(texts: Iterable[str], task: _Task, on_progress: OnProgress) -> Adapted:
    """Do what is left to do, and write the folder."""
    heed_quota()
    work, config, seed = task.work, task.config, task.seed
    folder = encoders.locate_encoder(task.encoder)
    tokenizer = read_tokenizer(folder)
    special = Special.of(tokenizer, task.encoder)
    if not _has_state(work):
        write_streams(
            texts,
            work,
            tokenizer=tokenizer,
            special=special,
            held_out_ratio=config.held_out_ratio,
            on_progress=on_progress,
        )
    elif read_written(work).digest != digest_of(texts):
        raise StageError(f"{work}: was begun with other notes; remove it, or name another output")
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        model, is_new_head = read_masked_lm(folder)
    check_vocabulary(tokenizer, model, folder)
    if limit := encoders.max_positions(model):
        block_tokens = min(config.block_tokens, limit)
        config = config.model_copy(update={"block_tokens": block_tokens})
    streams = read_streams(work, tokenizer=tokenizer, block_tokens=config.block_tokens)
    n_ids = model.get_input_embeddings().num_embeddings
    used = used_ids(streams, special, n_ids)
    masking = Masking.of(
        tokenizer,
        special,
        used,
        n_ids=n_ids,
        ratio=config.mask_ratio,
        whole_words=config.whole_words,
    )
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    with compact_vocabulary(model, used) as row_of:
        training = Training(
            model,
            streams,
            special,
            masking,
            config,
            row_of=row_of,
            is_new_head=is_new_head,
            seed=seed,
        )
        train_masked(training, work, task.asked, on_progress)
    state, about = training.state, streams.about
    adapted = Adapted(
        task.out, tuple(state.losses), state.before, state.tokens, state.seconds, about.counts
    )
    with atomic_folder(task.out) as temporary:
        with quiet():
            model.save_pretrained(temporary, safe_serialization=True)
        tokenizer.save_pretrained(temporary)
        _write_about(temporary, adapted, replace(task, config=config), task.key(about.digest))
        (temporary / "README.md").write_text(_card(adapted, task.encoder), "utf-8")
        write_manifest(temporary)
    return adapted


@contextmanager
def _locked(work: Path) -> Iterator[None]:
    """Hold ``work`` for this process."""
    path = work / _LOCK
    refuse_odd(path, folder=False)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StageError(
                f"{work}: another process works there; wait for it, or name another output"
            ) from None
        except OSError:  # A file system without locks.
            pass
        yield
    finally:
        os.close(descriptor)


def _begin(task: _Task) -> None:
    """Write down what the work is for; other settings are refused once they would lose a state."""
    work = task.work
    path = work / _BEGUN
    if not path.exists() and any(name != _LOCK for name in os.listdir(work)):
        raise FileError(f"{work}: is not of notesmith; move it away, or name another output")
    if _has_state(work) and path.read_text("utf-8") != task.asked:
        raise StageError(
            f"{work}: was begun with another encoder, other settings or another seed; remove it, "
            "or name another output"
        )
    atomic_write_text(path, task.asked)


def _has_state(work: Path) -> bool:
    return any(work.glob("state-*"))


def _finished(task: _Task, texts: Iterable[str]) -> Adapted:
    """What the folder says of itself, if it was made of ``texts`` as asked."""
    out = task.out
    if not (out / ABOUT).is_file():
        raise FileError(f"{out}: exists already; name another folder, or remove it first")
    check_manifest(out)
    values = read_json(out / ABOUT)
    if values["key"] != task.key(digest_of(texts)):
        raise FileError(
            f"{out}: was made of other notes, or with other settings; name another folder"
        )
    if task.work.is_dir():  # a kill came between the two
        _clear(task.work)
    return Adapted(
        out,
        tuple(Measured(each["tokens"], each["loss"]) for each in values["losses"]),
        values["before"],
        values["tokens"],
        values["seconds"],
        Counter(values["counts"]),
        is_new=False,
    )


def _write_about(folder: Path, adapted: Adapted, task: _Task, key: str) -> None:
    values = {
        "schema": _SCHEMA,
        "encoder": task.encoder,
        "adapt": task.config.model_dump(mode="json", exclude_none=True),
        "seed": task.seed,
        "key": key,
        "losses": [asdict(each) for each in adapted.losses],
        "before": adapted.before,
        "tokens": adapted.tokens,
        "seconds": round(adapted.seconds, 1),
        "counts": dict(adapted.counts),
    }
    (folder / ABOUT).write_text(json.dumps(values, indent=1) + "\n", "utf-8")


def _card(adapted: Adapted, encoder: str) -> str:
    first, last, counts = adapted.losses[adapted.before], adapted.losses[-1], adapted.counts
    rows = "".join(
        f"| {m.tokens:,} | {m.loss:.3f} | {m.perplexity:,.1f} |\n" for m in adapted.losses
    )
    return f"""# Encoder adapted to notes

An encoder for `ner.encoder` of notesmith, and a masked language model of transformers. It was
trained from `{encoder}`, whose licence holds for it.

**It may know parts of the notes by heart.** Guard this folder as you guard the notes, and delete it
when they must be deleted. A student that is trained from it may know them too.

- Notes read: {counts[NOTES]:,}, of them {counts[REPEATED]:,} left out as repeats of others and
  {counts[HELD_OUT]:,} held out to measure the loss.
- Word pieces learnt from, counted as often as they were seen: {adapted.tokens:,}.
- Held-out loss: {first.loss:.3f} before, {last.loss:.3f} after (perplexity
  {first.perplexity:,.1f} and {last.perplexity:,.1f}).
- Whether a student gains by it has to be measured; a lower loss does not show it.

| word pieces | held-out loss (nats) | perplexity |
| --- | --- | --- |
{rows}"""


def _clear(work: Path) -> None:
    """Delete the state of work, and the notes in it."""
    shutil.rmtree(work, ignore_errors=True)
