"""``notesmith init``: read a corpus, divide it where it has no test set, write the first recipe."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from notesmith.ceiling import Ceiling
from notesmith.config.corpus import ReadingConfig
from notesmith.corpus.parts import folded, keep_apart, without_repeats
from notesmith.corpus.reading import read_corpus, write_corpus
from notesmith.corpus.recognition import refuse_beside
from notesmith.corpus.splits import find_splits, split_corpus
from notesmith.document import Document
from notesmith.errors import ConfigError, CorpusError, FileError
from notesmith.experiment.stages.notes import UNLABELLED, FileSettings, read_notes
from notesmith.files.checksums import CHECKSUM, dumps_checked, hash_file, loads_checked
from notesmith.files.write import atomic_folder, atomic_write_text, read_regular
from notesmith.forecast.resources import Resources, resources
from notesmith.init.advice import Advice, advise
from notesmith.init.choices import choose_kind, choose_protocol, test_ratio
from notesmith.init.compose import MADE_BY, Composed, Given, compose
from notesmith.init.profile import Seen, look

FEWEST = 10
_SEED = 13
_TRIES = 20
# In a folder of divided notes: the hash of each, so that --force replaces no corrected ones.
_WRITTEN = ".notesmith-init.json"


Ask = Callable[[str, str], str]
"""Asks a question and proposes an answer."""


def unasked(question: str, proposal: str) -> str:
    """Take the proposal: nobody is there to ask."""
    return proposal


@dataclass(frozen=True, slots=True)
class InitResult:
    """The recipe's file, the folder of divided notes if one was made, and what was noticed.

    ``left_out`` are sentences on documents that a run leaves out, as they stand in another part.
    ``advice`` says of each of the three systems whether these notes call for it. ``n_unlabelled``
    are notes without labels that the run learns from. ``ceiling`` is the
    best score that one student can reach on them. ``n_patients`` is the number of patients that the
    notes name.
    """

    recipe: Path
    notes: Path | None
    composed: Composed
    n_documents: Mapping[str, int]
    counts: Mapping[str, int]
    left_out: tuple[str, ...]
    advice: tuple[Advice, ...]
    ceiling: Ceiling
    n_patients: int
    n_unlabelled: int = 0


def init_recipe(
    corpus: Path,
    out: Path,
    *,
    dev: Path | None = None,
    test: Path | None = None,
    unlabelled: Path | None = None,
    reading: ReadingConfig = ReadingConfig(),
    metadata: Path | None = None,
    patient_from: str | None = None,
    hub: bool = False,
    hours: float = 4.0,
    cross_fit: bool = False,
    force: bool = False,
    name: str = "",
    kind: str = "",
    ask: Ask = unasked,
    machine: Resources | None = None,
) -> InitResult:
    """Write a recipe that fits ``corpus`` and this machine.

    A folder that holds train and test is taken as it is divided. Where there is no test set, a part
    is kept for it by patient, and the parts are written beside the recipe as JSON lines.

    Args:
        corpus: labelled documents, a file or a folder.
        out: the recipe to write.
        dev: documents for choices.
        test: documents to score.
        unlabelled: notes without labels to learn from, as ``predict`` reads them.
        reading: how the files are read.
        metadata: see ``read_corpus``; of use only where there is no test set.
        patient_from: likewise.
        hub: whether a model may be named that has to be fetched.
        hours: how long a run may take.
        cross_fit: keep no part for a test: score all documents, each by models that never saw it.
        force: overwrite what an earlier ``init`` wrote.
        name: of the run in its report; asked for if not given.
        kind: what the notes are; likewise, where their metadata tells none.
        ask: asks the user, and gives back the answer or the proposal.
        machine: where it will run; this machine if not given.

    Raises:
        ConfigError: ``out`` exists, or the options do not go together.
        CorpusError: the corpus cannot be read, or is too small.
    """
    notes = out.parent / f"{out.stem}-notes"
    given = _given(corpus, dev, test)
    if given["train"] != corpus:
        refuse_beside(corpus, given.values(), reading)
    if cross_fit and set(given) != {"train"}:
        raise ConfigError("cross-fit scores the corpus itself: leave out --dev and --test")
    divide = "test" not in given
    _may_write(out, notes if divide else None, force=force)
    counts: Counter[str] = Counter()
    docs: dict[str, list[Document]] = {}
    found_format = ""
    for split, path in given.items():
        found = read_corpus(
            path,
            reading,
            metadata=metadata,
            patient_from=patient_from,
            expect_mentions=split != "train",  # refused below, whatever the options say
        )
        docs[split], found_format = found.docs, found.format
        counts.update(found.counts)
    left_out: list[str] = []
    if not divide:
        apart = keep_apart(docs)
        docs, left_out = apart.docs, apart.sentences
    seen = look(docs["train"])
    if not seen.counts.n_mentions:
        raise CorpusError(f"{corpus}: no mention is labelled; name the labelled files")
    paths = {split: str(path) for split, path in given.items()}
    how: Mapping[str, Any]
    if divide:
        parts, why, repeats = (_whole if cross_fit else _divide)(docs["train"], corpus)
        counts.update(repeats)
        apart = keep_apart({**docs, **parts})
        docs, left_out = apart.docs, apart.sentences
        parts = {split: docs[split] for split in parts}
        paths |= {split: str(notes / f"{split}.jsonl") for split in parts}
        how = {}
        if "dev" in given:
            parts = {**parts, "dev": docs["dev"]}
            paths["dev"] = str(notes / "dev.jsonl")
    else:
        if metadata or patient_from:
            raise ConfigError(
                "a recipe takes no metadata: with a test set of your own write it into the files "
                "first: notesmith corpus convert … --metadata …"
            )
        how = reading.model_dump(exclude_defaults=True)
        why = "train is what draws are taken from; test is opened for the scores alone"
    name = (
        _on_one_line(name or ask("Name of the run in its report", corpus.resolve().stem)) or "notes"
    )
    if not kind and not choose_kind(seen).value:
        kind = ask("What the notes are, as 'discharge summary' (nothing leaves it out)", "")
    kind = _on_one_line(kind)
    source = f"{corpus.name} ({found_format})"
    splits = [split for split in ("train", "dev", "test") if split in paths]
    order: dict[str, str] = {split: paths[split] for split in splits}
    without = _without_labels(unlabelled, reading, docs, counts) if unlabelled is not None else []
    named = {**order, UNLABELLED: str(unlabelled)} if unlabelled is not None else order
    composed = compose(
        seen,
        docs,
        Given(name, named, _sentence(why), how, source, kind, without),
        machine or resources(),
        hub=hub,
        hours=hours,
        cross_fit=cross_fit,
    )
    if divide:
        with atomic_folder(notes, replace=force) as folder:
            for split, part in parts.items():
                write_corpus(part, folder / f"{split}.jsonl")
            hashes = {path.name: hash_file(path) for path in folder.iterdir()}
            atomic_write_text(folder / _WRITTEN, dumps_checked(hashes))
    atomic_write_text(out, composed.text)
    return InitResult(
        out,
        notes if divide else None,
        composed,
        {split: len(docs[split]) for split in order},
        dict(+counts),
        tuple(left_out),
        advise(seen, len(without)),
        seen.ceiling,
        seen.counts.n_patients,
        len(without),
    )


def _given(corpus: Path, dev: Path | None, test: Path | None) -> dict[str, Path]:
    found = find_splits(corpus)
    given = found if {"train", "test"} <= found.keys() else {"train": corpus}
    if dev is not None:
        given = {**given, "dev": dev}
    if test is not None:
        given = {**given, "test": test}
    for split, path in given.items():
        if not path.exists():
            raise CorpusError(f"{path}: nothing is there; name the {split} documents")
    return given


def _without_labels(
    path: Path,
    reading: ReadingConfig,
    docs: Mapping[str, Sequence[Document]],
    counts: Counter[str],
) -> list[Document]:
    """Notes that repeat no labelled document; those that do are counted.

    Raises:
        CorpusError: they cannot be read, or none is left.
    """
    read = read_notes(path, reading, FileSettings())
    counts.update(read.counts)
    kept = without_repeats(read.docs, *docs.values()).kept
    counts["notes left out, as they repeat a labelled document"] += len(read.docs) - len(kept)
    if not kept:
        raise CorpusError(
            f"{path}: no note is left that repeats no labelled document; name other notes with "
            "--notes, or leave it out"
        )
    return kept


def _may_write(out: Path, notes: Path | None, *, force: bool) -> None:
    for path in (out, notes):
        if path is not None and path.exists() and not force:
            raise ConfigError(f"{path}: exists already; name another with --out, or use --force")
    if out.is_dir():
        raise ConfigError(f"{out}: is a folder; name a file with --out")
    if out.exists() and not read_regular(out).startswith(f"# {MADE_BY}".encode()):
        raise ConfigError(f"{out}: was not written by init; name another with --out")
    if notes is not None and notes.exists() and not _is_as_written(notes):
        raise ConfigError(
            f"{notes}: was not written by init, or was changed since; name another --out"
        )


def _is_as_written(notes: Path) -> bool:
    """Whether a folder holds what an earlier ``init`` wrote and nothing else."""
    try:
        hashes = loads_checked(read_regular(notes / _WRITTEN)) or {}
        found = {p.name: hash_file(p) for p in notes.iterdir() if p.name != _WRITTEN}
    except (OSError, FileError):
        return False
    return {name: part for name, part in hashes.items() if name != CHECKSUM} == found


def _divide(
    docs: Sequence[Document], corpus: Path
) -> tuple[dict[str, list[Document]], str, dict[str, int]]:
    """Train and test by patient, and why; of several shuffles the one that parts labels best."""
    known: dict[str, Document] = {}
    for doc in docs:
        known.setdefault(folded(doc.text), doc)
    unique = list(known.values())
    if len(unique) < FEWEST:
        raise CorpusError(
            f"{corpus}: {len(unique)} documents are too few to keep a part for the test; label "
            f"{FEWEST} at least, or name a test set with --test"
        )
    share = test_ratio(len(unique))
    ratios = {"train": 1 - share, "test": share}

    def parts_of(seed: int) -> dict[str, list[Document]]:
        return split_corpus(unique, ratios=ratios, seed=seed).parts

    seed = min(range(_SEED, _SEED + _TRIES), key=lambda s: (_unknown(parts_of(s)), s))
    split = split_corpus(unique, ratios=ratios, seed=seed)
    n_test = len(split.parts["test"])
    by = "document, as no patients are named" if split.n_ungrouped else "patient"
    why = (
        f"no test set was given, so {n_test} of {len(unique)} documents are kept for it, divided "
        f"by {by} (seed {seed}): {choose_protocol(len(unique)).why}. The files hold note text, and "
        "paths are as seen from the folder that init ran in"
    )
    return (
        split.parts,
        why,
        {"documents left out, as their text stood twice": len(docs) - len(unique)},
    )


def _whole(
    docs: Sequence[Document], corpus: Path
) -> tuple[dict[str, list[Document]], str, dict[str, int]]:
    """All documents as they are: cross-fit keeps those of one patient or one text together."""
    if len(docs) < FEWEST:
        raise CorpusError(
            f"{corpus}: {len(docs)} documents are too few for a cross-fit; label {FEWEST} at least"
        )
    why = (
        "no test set is needed: all documents are trained on and scored, never by the same models. "
        "The file holds note text, and its path is as seen from the folder that init ran in"
    )
    return {"train": list(docs)}, why, {}


def _unknown(parts: Mapping[str, Sequence[Document]]) -> int:
    """Mentions of test whose label train lacks: no student could find them."""
    known = {ent.label for doc in parts["train"] for ent in doc.entities}
    return sum(ent.label not in known for doc in parts["test"] for ent in doc.entities)


def _on_one_line(name: str) -> str:
    """``name`` without what TOML and reports could stumble over."""
    return re.sub(r"[\s\"\\]+", " ", name).strip()


def _sentence(why: str) -> str:
    return f"{why[0].upper()}{why[1:]}."


__all__ = ["FEWEST", "InitResult", "Seen", "init_recipe"]
