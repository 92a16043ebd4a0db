"""Stages of the generator: names, fine-tuning, sampling, filters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from notesmith.augmentation.replace import gold_names, replace_mentions
from notesmith.config import (
    AugmentConfig,
    FilterConfig,
    NamesConfig,
    NerConfig,
    SftConfig,
    SynthesizeConfig,
)
from notesmith.document import Document
from notesmith.errors import StageError
from notesmith.experiment import artefacts as files
from notesmith.experiment.engine import Work
from notesmith.experiment.stages.common import (
    Surroundings,
    about,
    folded_mentions,
    gold_in,
    keep_made,
    labels_in,
    load_base,
    load_tuned,
    read,
)
from notesmith.experiment.stages.reinforce import chooser, recipe_of
from notesmith.filters import run as run_filters
from notesmith.filters.run import kept_at_most
from notesmith.overlap import HeldOut
from notesmith.synthesis.generate import run_sample, run_sft
from notesmith.synthesis.names import propose_names


def names(work: Work, around: Surroundings) -> Mapping[str, Any]:
    """Let the base model propose names, and keep those with the best type scores."""
    gold = gold_in(work)
    if unknown := sorted(around.terms.keys() - set(labels_in(work))):
        raise StageError(f"synthesize.names.term_lists: no document of train has {unknown}")
    lm = load_base(work, around, gold)
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
        **about(lm),
    }


def sft(work: Work, around: Surroundings) -> Mapping[str, Any]:
    """Fine-tune the base model on gold and its mention-replaced copies."""
    gold = gold_in(work)
    descriptions: dict[str, str] = work.config.get("label_descriptions") or {}
    if unknown := sorted(descriptions.keys() - set(labels_in(work))):
        raise StageError(f"corpus.label_descriptions: no document of train has {unknown}")
    lm = load_base(work, around, gold)
    described = about(lm)
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
        labels=labels_in(work),
        descriptions=descriptions,
        out=work.out / files.MODEL,
        seed=work.cell.seed,
        on_progress=work.on_progress,
    )
    return {
        "tokens": result.tokens,
        "steps": result.n_steps,
        "best_step": result.best_step,
        "history": list(result.history),
        **described,
    }


def sample(work: Work, around: Surroundings) -> Mapping[str, Any]:
    """Let the generator write what was planned; an interrupted run goes on."""
    gold, labels = gold_in(work), labels_in(work)
    config = recipe_of(work)
    annotator = None
    if config.synthesize.agreement:
        from notesmith.ner.crossfit import train_committee

        annotator = train_committee(
            gold,
            config=NerConfig.model_validate(work.config["ner"]),
            labels=labels,
            seed=work.cell.seed,
            on_progress=work.on_progress,
        )
    tuned, n_each = "model" in work.inputs, int(work.config.get("best_of", 1))
    log = files.SampleLog(work.scratch / "samples.jsonl")
    n_before = len(log.finished)
    output = run_sample(
        load_tuned(work, around) if tuned else load_base(work, around, gold),
        gold,
        files.load_names(work.inputs["names"]),
        config,
        labels=labels,
        seed=work.cell.seed,
        tuned=tuned,
        n_each=n_each,
        choose=chooser(work, around, gold, config, n_each) if n_each > 1 else None,
        on_progress=work.on_progress,
        finished=log.finished,
        on_samples=log.append,
        annotator=annotator,
    )
    files.save_candidates(output.candidates, work.out)
    return {
        "tokens": output.tokens,
        "sampling_seconds": output.seconds,
        "asked": len(output.candidates),
        "resumed": n_before,
    }


def _held_out(work: Work, around: Surroundings) -> HeldOut:
    """Dev and test, or in cross-fit the fold, as all that a filter may ask: does this repeat it?"""
    if "documents" in work.inputs:
        return HeldOut.of(doc.text for doc in files.load_docs(work.inputs["documents"]))
    paths = around.held_out.values()
    return HeldOut.of(doc.text for path in paths for doc in read(path, work.config["corpus"]).docs)


def filter_made(work: Work, around: Surroundings) -> Mapping[str, Any]:
    """Keep or drop each candidate, with a reason; dropped text stays on disk."""
    gold = gold_in(work)
    candidates = files.load_candidates(work.inputs["candidates"])
    result = run_filters(
        candidates,
        gold,
        FilterConfig.model_validate(work.config["filter"]),
        unit=work.cell.inputs["candidates"].config["sft"]["unit"],
        held_out=_held_out(work, around),
    )
    files.save_docs(result.kept, work.out)
    files.save_dropped(result.dropped, work.out)
    own = folded_mentions(gold)
    made = folded_mentions(result.kept)
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


def unfiltered(work: Work) -> Mapping[str, Any]:
    """All text that parses, whatever the filters would say of it."""
    candidates = files.load_candidates(work.inputs["candidates"])
    parsed = [c.result for c in candidates if isinstance(c.result, Document)]
    unit = work.cell.inputs["candidates"].config["sft"]["unit"]
    limit = kept_at_most(work.config.get("keep_per_gold"), gold_in(work), unit)
    return keep_made(work, parsed[:limit])


def relabelled(work: Work) -> Mapping[str, Any]:
    """Kept text with the labels of the student that gold alone trained."""
    from notesmith.ner.model import load_ner

    made = files.load_docs(work.inputs["made"])
    said = load_ner(work.inputs["model"] / files.MODEL).predict(made, on_progress=work.on_progress)
    docs = [
        replace(doc, entities=labels.entities, masked=())
        for doc, labels in zip(made, said, strict=True)
    ]
    return keep_made(work, docs)
