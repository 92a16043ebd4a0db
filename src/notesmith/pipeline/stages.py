"""The stages: what each kind of cell does, by calling the libraries; no method of its own.

Every function reads the folders of its inputs and writes its own. Train is read by ``draw``; dev
and test are read by ``score`` and ``coverage``, through the seal, and by ``held-out``, which keeps
nothing of them but one-way hashes.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from notesmith.augment import (
    gold_names,
    replace_mentions,
    replace_tokens,
    shuffle_labels,
    shuffle_segments,
)
from notesmith.config import (
    AugmentConfig,
    FilterConfig,
    LmConfig,
    NamesConfig,
    NerConfig,
    RecipeConfig,
    SftConfig,
    SynthesizeConfig,
)
from notesmith.corpus import CorpusRead, read_corpus
from notesmith.corpus.files import atomic_write_text
from notesmith.document import Document, labels_of
from notesmith.errors import StageError
from notesmith.evaluate.cells import score_cell
from notesmith.filters import fingerprints
from notesmith.filters import run as run_filters
from notesmith.metrics import fold_mention
from notesmith.pipeline import artefacts as files
from notesmith.pipeline.engine import StageFunction, Work
from notesmith.segments import sentences
from notesmith.synthesize import propose_names, run_sample, run_sft

if TYPE_CHECKING:
    from notesmith.lm import LanguageModel

SCORES = "scores.json"
PREDICTIONS = "predictions.json"
INFO = "info.json"
HASHES = "hashes.json"

OpenSplit = Callable[[str], Path]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stages need from outside their cell.

    ``train`` is a path; ``held_out`` gives the path of 'dev' or 'test' without counting, for
    hashes; ``open_split`` gives it through the seal. ``cache`` keeps converted models; ``terms``
    are the user's names by label.
    """

    train: Path
    held_out: Mapping[str, Path]
    open_split: OpenSplit
    cache: Path
    terms: Mapping[str, Sequence[str]]


def stage_functions(around: Surroundings) -> dict[str, StageFunction]:
    """The function of every stage."""
    return {
        "held-out": lambda work: _held_out(work, around),
        "draw": lambda work: _draw(work, around),
        "names": lambda work: _names(work, around),
        "sft": lambda work: _sft(work, around),
        "sample": lambda work: _sample(work, around),
        "filter": _filter,
        "replaced": _replaced,
        "replaced-proposed": _replaced_proposed,
        "lwtr": lambda work: _changed(work, replace_tokens),
        "shuffled": lambda work: _changed(work, shuffle_segments),
        "synthetic-shuffled-labels": _placebo,
        "ner": _ner,
        "score": lambda work: _score(work, around),
        "coverage": lambda work: _coverage(work, around),
    }


def describe(docs: Sequence[Document]) -> dict[str, int]:
    """Counts that the report shows for a corpus."""
    return {
        "documents": len(docs),
        "sentences": sum(len(sentences(doc.text)) for doc in docs),
        "entities": sum(len(doc.entities) for doc in docs),
    }


def _read(path: Path, config: Mapping[str, Any]) -> CorpusRead:
    return read_corpus(
        path,
        format=config.get("format"),
        label_map=config["label_map"],
        on_problem=config["on_problem"],
    )


def _held_out(work: Work, around: Surroundings) -> Mapping[str, Any]:
    """Hash dev and test, so that filters can find repeats without seeing a text.

    A document of dev or test that stands in train too is an error: scores would mean nothing.
    """
    train = {" ".join(doc.text.split()): doc.id for doc in _read(around.train, work.config).docs}
    texts: list[str] = []
    for split, path in around.held_out.items():
        docs = _read(path, work.config).docs
        shared = [doc.id for doc in docs if " ".join(doc.text.split()) in train]
        if shared:
            raise StageError(
                f"{len(shared)} documents of {split} stand in train too, the first {shared[0]!r}; "
                "take them out of one"
            )
        texts += [doc.text for doc in docs]
    hashes = sorted(fingerprints(texts))
    atomic_write_text(work.out / HASHES, json.dumps(hashes))
    return {"documents": len(texts), "hashes": len(hashes)}


def _draw(work: Work, around: Surroundings) -> Mapping[str, Any]:
    """Draw gold documents; a smaller draw of the same seed is the start of a larger one."""
    read = _read(around.train, work.config)
    n = int(work.config["documents"])
    if n > len(read.docs):
        raise StageError(
            f"a draw of {n} documents was asked for and train holds {len(read.docs)}; "
            "lower draws.sizes or draws.curve"
        )
    order = np.random.default_rng(work.cell.seed).permutation(len(read.docs))
    docs = [read.docs[int(i)] for i in order[:n]]
    files.save_docs(docs, work.out)
    # The label set is part of the annotation scheme, so a small draw knows all of it.
    info = {"labels": labels_of(read.docs)}
    atomic_write_text(work.out / INFO, json.dumps(info))
    return {"corpus": describe(read.docs), "drawn": describe(docs), "reading": read.counts}


def _labels(work: Work) -> tuple[str, ...]:
    info = json.loads((work.inputs["gold"] / INFO).read_text(encoding="utf-8"))
    return tuple(info["labels"])


def _gold(work: Work) -> list[Document]:
    return files.load_docs(work.inputs["gold"])


def _load_base(work: Work, around: Surroundings, gold: Sequence[Document]) -> LanguageModel:
    from notesmith.lm import load_lm

    config = LmConfig.model_validate(work.config["lm"])
    return load_lm(config, cache=around.cache, sample_texts=[doc.text for doc in gold])


def _names(work: Work, around: Surroundings) -> Mapping[str, Any]:
    gold = _gold(work)
    if unknown := sorted(around.terms.keys() - set(_labels(work))):
        raise StageError(f"synthesize.names.term_lists: no document of train has {unknown}")
    lm = _load_base(work, around, gold)
    names = propose_names(
        lm,
        gold_names(gold),
        NamesConfig.model_validate(work.config["names"]),
        seed=work.cell.seed,
        terms=around.terms,
        on_progress=work.on_progress,
    )
    # Times belong to metrics: equal work leaves equal bytes.
    files.save_names(replace(names, seconds=0.0), work.out)
    return {
        "tokens": names.tokens,
        "proposals": dict(names.counts),
        "names": sum(len(found) for found in names.names.values()),
        **_about(lm),
    }


def _about(lm: LanguageModel) -> dict[str, Any]:
    return {
        "lm": {
            "name": lm.name,
            "licence": lm.licence,
            "terms": lm.terms,
            "fingerprint": lm.fingerprint,
            "parameters": sum(p.numel() for p in lm.model.parameters()),
        }
    }


def _sft(work: Work, around: Surroundings) -> Mapping[str, Any]:
    gold = _gold(work)
    lm = _load_base(work, around, gold)
    about = _about(lm)
    config = SftConfig.model_validate(work.config["sft"])
    replaced = (
        replace_mentions(
            gold,
            gold_names(gold),
            config=AugmentConfig(copies=config.replaced_copies),
            seed=work.cell.seed,
        )
        if config.replaced_copies
        else []
    )
    result = run_sft(
        lm,
        gold,
        config,
        SynthesizeConfig.model_validate(work.config["synthesize"]),
        replaced=replaced,
        kind=work.config["kind"],
        labels=_labels(work),
        out=work.out / files.MODEL,
        seed=work.cell.seed,
        on_progress=work.on_progress,
    )
    return {
        "tokens": result.tokens,
        "steps": result.n_steps,
        "best_step": result.best_step,
        "history": list(result.history),
        **about,
    }


def _sample(work: Work, around: Surroundings) -> Mapping[str, Any]:
    from notesmith.lm import load_lm

    gold, labels = _gold(work), _labels(work)
    config = RecipeConfig.model_validate(
        {
            "name": "cell",
            "corpus": {"train": "-", "kind": work.config["kind"]},
            "arm": [{"name": "gold"}],
            **{name: work.config[name] for name in ("sft", "synthesize", "sample")},
        }
    )
    committee = None
    if config.synthesize.agreement:
        from notesmith.ner import train_committee

        committee = train_committee(
            gold,
            config=NerConfig.model_validate(work.config["ner"]),
            labels=labels,
            seed=work.cell.seed,
            on_progress=work.on_progress,
        )
    model = work.inputs["model"] / files.MODEL
    lm = load_lm(LmConfig(model=str(model), trim=False), cache=around.cache)
    log = files.SampleLog(work.scratch / "samples.jsonl")
    n_before = len(log.finished)
    output = run_sample(
        lm,
        gold,
        files.load_names(work.inputs["names"]),
        config,
        labels=labels,
        seed=work.cell.seed,
        on_progress=work.on_progress,
        finished=log.finished,
        on_samples=log.append,
        annotator=committee,
    )
    files.save_candidates(output.candidates, work.out)
    return {
        "tokens": output.tokens,
        "sampling_seconds": output.seconds,
        "asked": len(output.candidates),
        "resumed": n_before,
    }


def _filter(work: Work) -> Mapping[str, Any]:
    gold = _gold(work)
    candidates = files.load_candidates(work.inputs["candidates"])
    hashes = json.loads((work.inputs["held-out"] / HASHES).read_text(encoding="utf-8"))
    result = run_filters(
        candidates,
        gold,
        FilterConfig.model_validate(work.config["filter"]),
        unit=work.cell.inputs["candidates"].config["sft"]["unit"],
        held_out=frozenset(hashes),
    )
    files.save_docs(result.kept, work.out)
    files.save_dropped(result.dropped, work.out)
    own = _mentions(gold)
    made = _mentions(result.kept)
    return {
        "asked": len(candidates),
        "kept": len(result.kept),
        "dropped": {reason: n for reason, n in result.counts.items() if reason != "kept"},
        "requested_mentions": sum(len(c.requested) for c in candidates),
        "missing_mentions": sum(c.missing for c in candidates),
        "entities": sum(len(doc.entities) for doc in result.kept),
        "masked": sum(len(doc.masked) for doc in result.kept),
        "without_entities": sum(not doc.entities for doc in result.kept),
        "words": sum(len(doc.text.split()) for doc in result.kept),
        "names": len(made),
        "new_names": len(made - own),
    }


def _mentions(docs: Sequence[Document]) -> set[str]:
    return {fold_mention(mention) for doc in docs for mention in doc.mentions()}


def _replaced(work: Work) -> Mapping[str, Any]:
    gold = _gold(work)
    config = AugmentConfig.model_validate(work.config)
    return _keep_made(
        work, replace_mentions(gold, gold_names(gold), config=config, seed=work.cell.seed)
    )


def _replaced_proposed(work: Work) -> Mapping[str, Any]:
    """Mention replacement in which a share of the names are proposed ones.

    The copies that use proposed names and those that use gold names are apart, so that the share
    holds whatever the sizes of the two lists.
    """
    gold = _gold(work)
    config = AugmentConfig.model_validate(work.config)
    known = gold_names(gold)
    proposed = files.load_names(work.inputs["names"]).names
    names = {
        label: _mixed(known.get(label, ()), proposed.get(label, ()), config.proposed_ratio)
        for label in {*known, *proposed}
    }
    return _keep_made(work, replace_mentions(gold, names, config=config, seed=work.cell.seed))


def _mixed(known: Sequence[str], proposed: Sequence[str], ratio: float) -> tuple[str, ...]:
    """A list in which ``ratio`` of the places are proposed names, the rest gold ones.

    Names are repeated so that a uniform draw from the list has the ratio; one list stands alone
    where the other is empty.
    """
    if not proposed or not known:
        return (*known, *proposed)
    total = 10 * max(len(known), len(proposed))
    n_new = round(ratio * total)
    new = [proposed[i % len(proposed)] for i in range(n_new)]
    old = [known[i % len(known)] for i in range(total - n_new)]
    return (*old, *new)


def _changed(work: Work, change: Callable[..., list[Document]]) -> Mapping[str, Any]:
    config = AugmentConfig.model_validate(work.config)
    return _keep_made(work, change(_gold(work), config=config, seed=work.cell.seed))


def _placebo(work: Work) -> Mapping[str, Any]:
    made = files.load_docs(work.inputs["made"])
    return _keep_made(work, shuffle_labels(made, seed=work.cell.seed))


def _keep_made(work: Work, docs: Sequence[Document]) -> Mapping[str, Any]:
    files.save_docs(docs, work.out)
    return {"made": describe(docs)}


def _ner(work: Work) -> Mapping[str, Any]:
    from notesmith.ner import train_ner

    made = [
        doc
        for name, folder in sorted(work.inputs.items())
        if name != "gold"
        for doc in files.load_docs(folder)
    ]
    result = train_ner(
        _gold(work),
        made,
        config=NerConfig.model_validate(work.config["ner"]),
        labels=_labels(work),
        seed=work.cell.seed,
        on_progress=work.on_progress,
    )
    result.model.save(work.out / files.MODEL)
    return {
        "tokens": result.tokens,
        "training_seconds": round(result.seconds, 3),
        "history": list(result.history),
        "flattened": dict(result.counts),
        "encoder": {
            "name": result.model.name,
            "parameters": sum(p.numel() for p in result.model.model.parameters()),
        },
    }


def _open(work: Work, around: Surroundings) -> list[Document]:
    docs = _read(around.open_split(str(work.config["split"])), work.config).docs
    return docs[: int(work.config["documents"]) or None]


def _score(work: Work, around: Surroundings) -> Mapping[str, Any]:
    """Predict the documents of a split and count; the only stage that a test document reaches."""
    from notesmith.ner import load_ner

    docs = _open(work, around)
    model = load_ner(work.inputs["model"] / files.MODEL)
    predicted = model.predict(docs, on_progress=work.on_progress)
    scores = score_cell(
        docs,
        predicted,
        {mention for doc in _gold(work) for mention in doc.mentions()},
        arm=work.cell.arm,
        size=work.cell.size,
        replicate=work.cell.replicate,
        seed=work.cell.seed,
        split=str(work.config["split"]),
    )
    atomic_write_text(work.out / SCORES, json.dumps(scores.to_json()))
    spans = {
        doc.id: [[ent.label, *map(list, ent.spans)] for ent in doc.entities] for doc in predicted
    }
    atomic_write_text(work.out / PREDICTIONS, json.dumps(spans))
    return {
        "split": work.config["split"],
        "f1": round(100 * scores.f1, 3),
        "corpus": describe(docs),
    }


def _coverage(work: Work, around: Surroundings) -> Mapping[str, Any]:
    """How many test mentions that gold lacks stand in made text: known only after the fact."""
    docs = _open(work, around)
    gold, made = _mentions(_gold(work)), _mentions(files.load_docs(work.inputs["made"]))
    unseen = [
        mention
        for doc in docs
        for mention in map(fold_mention, doc.mentions())
        if mention not in gold
    ]
    proposed = {
        fold_mention(name)
        for found in files.load_names(work.inputs["names"]).names.values()
        for name in found
    }
    n = max(1, len(unseen))
    return {
        "split": work.config["split"],
        "unseen_mentions": len(unseen),
        "unseen_names": len(set(unseen)),
        "covered_by_made": sum(mention in made for mention in unseen) / n,
        "covered_by_proposals": sum(mention in proposed for mention in unseen) / n,
    }
