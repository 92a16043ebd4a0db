"""``methods.md`` and ``references.bib``: what a paper about the run must say, in draft.

Methods in the past tense, BibTeX of what was used, and the entries of TRIPOD-LLM, written from
``results.json`` alone, so neither file holds note text. What was not done is not claimed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from notesmith import __version__
from notesmith.config.recipe import RecipeConfig
from notesmith.config.rewards import RewardConfig, RlConfig
from notesmith.findings import OUT_OF_FOLD, Arm, Estimate
from notesmith.report import words
from notesmith.report.adapted import adapted_sentences
from notesmith.report.labelled import silver_sentences
from notesmith.report.made import made_means, mean
from notesmith.report.markdown import Plain, render
from notesmith.report.notes import honest_notes, weights_of
from notesmith.report.references import References, corpus_of, references_of
from notesmith.report.settings import arm_of, ner_changes, rl_of
from notesmith.results import Machine, Results
from notesmith.rules import MIN_REPLICATES


@dataclass(frozen=True, slots=True)
class PaperFacts:
    """What a run cannot know about itself: ``source`` names the corpus, version and agreement."""

    source: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """The two files."""

    methods: str
    bibtex: str


@dataclass(frozen=True, slots=True)
class ArmRow:
    """An arm in words."""

    name: str
    made: tuple[str, ...]
    n_replicates: int
    f1: Estimate
    ner: tuple[str, ...]
    best_of: int
    votes: int
    adapted: bool


@dataclass(frozen=True, slots=True)
class Learnt:
    """How the generator of an arm learnt from rewards: means over replicates at the main size."""

    arm: str
    method_words: str
    keys: tuple[str, ...]
    placebo: bool
    settings: RlConfig | None
    first: float | None
    best: float | None


def draft_methods(results: Results, facts: PaperFacts | None = None) -> Draft:
    """Return the draft for a paper about the run."""
    facts = facts or PaperFacts()
    references = references_of(results, source=facts.source)
    context = _context(results, references, facts)
    tripod = render("tripod_llm.md", **context)
    bibtex = references.bibtex()
    methods = render("methods.md", **context, tripod=Plain(tripod), bibtex=Plain(bibtex.rstrip()))
    return Draft(methods, bibtex)


def _context(results: Results, references: References, facts: PaperFacts) -> dict[str, Any]:
    s = results.config
    scored = results.arms_at(results.main_size)
    arms = [_arm_row(arm, s) for arm in scored]
    groups = made_means(results)
    written = [
        known
        for arm in scored
        if any(source.by == "generator" for source in arm.made) and (known := arm_of(s, arm.name))
    ]
    return {
        "results": results,
        "s": s,
        "facts": facts,
        "refs": references,
        "version": __version__,
        "cite": _citer(references),
        "times": _times,
        "notes": honest_notes(results),
        "demo": s.corpus.train.startswith("demo:"),
        "corpus_key": corpus_of(results, facts.source)[1],
        "labels_words": _labels(results),
        "supports": _supports(results),
        "replicates": max((arm.n_replicates for arm in scored), default=0),
        "more_sizes": [
            str(n) for n in results.sizes if n != results.main_size and len(results.arms_at(n)) > 1
        ],
        "curve_sizes": [f"{n:g}" for n in results.learning_curve.sizes],
        "by_lm": results.used_lm,
        "lm_words": (weights_of(results.lm.name) or results.lm.name)
        if results.lm
        else "[name, version]",
        "names": s.synthesize.names,
        "units": f"{s.sft.unit}s",
        "learnt": _learnt(results),
        "prompted": [arm for arm in written if not arm.tuned],
        "best_of": [arm for arm in written if arm.best_of > 1],
        "groups": groups,
        "main_made": [made for made in groups if made.size == results.main_size],
        "reward_parts": _reward_parts(s.reward),
        "encoder_words": _encoder(results),
        "with_made": any(arm.made for arm in scored),
        "own_steps": [arm for arm in arms if arm.ner],
        "votes": sorted({str(arm.votes) for arm in arms if arm.votes > 1}),
        "adapted": adapted_sentences(results, size=results.main_size),
        "labelled": silver_sentences(results, size=results.main_size),
        "arms": arms,
        "named_before": s.evaluate.candidate == results.focus,
        "sealed": results.split in ("test", OUT_OF_FOLD)
        and results.seal
        and results.seal.opened == 1,
        "least": MIN_REPLICATES,
        "worth_known": any(c.worth for c in results.comparisons),
        "versions": [f"{k} {v}" for k, v in results.versions.items() if k != "notesmith"],
        "machine": _machine(results.machine),
        "seconds": sum(stage.seconds for stage in results.stages),
        "last_sentence": results.verdict.sentences[-1]
        if results.verdict.sentences
        else f"{words.advice(results.verdict.recommendation)}.",
    }


_ENCODER_WORDS = {"minilm": "all-MiniLM-L6-v2"}
_METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "grpo": ("group relative policy optimisation", ("shao2024grpo",)),
    "dpo": ("direct preference optimisation on pairs of its own texts", ("rafailov2023dpo",)),
    "best-of-n": ("fine-tuning on the best of its own texts", ()),
}


def _citer(references: References) -> Callable[..., Plain]:
    def cite(*keys: str) -> Plain:
        found = [f"@{key}" for key in keys if references.has(key)]
        return Plain(f" [{'; '.join(found)}]" if found else "")

    return cite


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")


def _labels(results: Results) -> str:
    if not results.labels or len(results.labels) > 5:
        return f"{len(results.labels)} kinds of mention" if results.labels else "mentions"
    return words.listed(results.labels)


def _supports(results: Results) -> list[str]:
    arm = results.arm(results.comparator, results.main_size)
    scores = arm.by_label.items() if arm else ()
    return [f"{label} {words.count(score.support)}" for label, score in scores]


def _arm_row(arm: Arm, config: RecipeConfig) -> ArmRow:
    known = arm_of(config, arm.name)
    return ArmRow(
        arm.name,
        tuple(source.words for source in arm.made),
        arm.n_replicates,
        arm.decided.f1,
        tuple(f"{name} to {value}" for name, value in ner_changes(config, known)) if known else (),
        known.best_of if known else 1,
        arm.votes,
        arm.adapted,
    )


def _learnt(results: Results) -> list[Learnt]:
    found = []
    runs = [run for run in results.rl if run.size == results.main_size]
    for arm in dict.fromkeys(run.arm for run in runs):
        mine = [run for run in runs if run.arm == arm]
        said, keys = _METHODS.get(mine[0].method, (mine[0].method, ()))
        found.append(
            Learnt(
                arm,
                said,
                keys,
                mine[0].placebo,
                rl_of(results.config, arm),
                mean(run.look("reward", 0) for run in mine),
                mean(run.look("reward", run.best_step) for run in mine),
            )
        )
    return found


def _reward_parts(reward: RewardConfig) -> list[str]:
    parts = {
        f"agreement with a committee of {reward.members} students on spans nobody asked for": (
            reward.agreement
        ),
        "fluency": reward.fluency,
        "density of mentions": reward.density,
        "coverage of the request": reward.coverage_weight if reward.coverage == "part" else 0.0,
        "the authors' own rewards": reward.user_weight if reward.user else 0.0,
    }
    return [f"{said} (weight {weight:g})" for said, weight in parts.items() if weight]


def _encoder(results: Results) -> str:
    if results.encoder is None:
        return "an encoder [name, version]"
    name = _ENCODER_WORDS.get(results.encoder.name, results.encoder.name)
    if results.encoder.parameters is None:
        return name
    return f"{name} ({results.encoder.parameters / 1e6:.0f} million parameters)"


def _machine(facts: Machine) -> list[str]:
    of = f" ({facts.cpu})" if facts.cpu else ""
    found = [f"{facts.cores} processor core{'' if facts.cores == 1 else 's'}{of}"]
    if facts.memory_gib:
        found.append(f"{facts.memory_gib} GiB of memory")
    return found
