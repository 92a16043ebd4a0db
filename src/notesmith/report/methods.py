"""``methods.md`` and ``references.bib``: what a paper about the run must say, in draft.

Methods in the past tense, BibTeX of what was used, and the entries of TRIPOD-LLM, written from
``results.json`` alone, so neither file holds note text. What was not done is not claimed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from notesmith import __version__
from notesmith.config import RewardConfig, RlConfig
from notesmith.report import words
from notesmith.report.markdown import Plain, render
from notesmith.report.notes import honest_notes
from notesmith.report.references import References, corpus_of, references_of
from notesmith.report.settings import Settings, read_settings
from notesmith.report.view import DEMONSTRATION_BELOW, Arm, Estimate, View


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


def draft_methods(view: View, facts: PaperFacts | None = None) -> Draft:
    """Return the draft for a paper about the run."""
    facts = facts or PaperFacts()
    settings = read_settings(view.config)
    references = references_of(view, settings, source=facts.source)
    context = _context(view, settings, references, facts)
    tripod = render("tripod_llm.md", **context)
    bibtex = references.bibtex()
    methods = render("methods.md", **context, tripod=Plain(tripod), bibtex=Plain(bibtex.rstrip()))
    return Draft(methods, bibtex)


def _context(view: View, s: Settings, references: References, facts: PaperFacts) -> dict[str, Any]:
    arms = [_arm_row(arm, s) for arm in view.arms_at(view.main_size)]
    scored = {arm.name: arm for arm in view.arms_at(view.main_size)}
    written = [name for name, arm in scored.items() if any(_by_generator(m) for m in arm.made)]
    seconds = [stage.seconds for stage in view.stages if words.is_number(stage.seconds)]
    return {
        "view": view,
        "s": s,
        "facts": facts,
        "refs": references,
        "version": __version__,
        "cite": _citer(references),
        "times": _times,
        "notes": honest_notes(view),
        "demo": s.corpus is not None and s.corpus.train.startswith("demo:"),
        "corpus_key": corpus_of(view, s, facts.source)[1],
        "labels_words": _labels(view),
        "supports": _supports(view),
        "replicates": max((arm.n_replicates for arm in scored.values()), default=0),
        "more_sizes": [
            str(n) for n in view.sizes if n != view.main_size and len(view.arms_at(n)) > 1
        ],
        "curve_sizes": [f"{n:g}" for n in view.curve.sizes],
        "by_lm": bool(view.ran & {"names", "sft", "rl", "sample"}),
        "lm_words": _LM_WORDS.get(view.lm.name, view.lm.name or "[name, version]"),
        "names": s.synthesize.names if s.synthesize else None,
        "units": f"{s.sft.unit}s" if s.sft else "units",
        "learnt": _learnt(view, s),
        "prompted": [s.arms[n] for n in written if n in s.arms and not s.arms[n].tuned],
        "best_of": [s.arms[n] for n in written if n in s.arms and s.arms[n].best_of > 1],
        "main_made": [made for made in view.made if made.size == view.main_size],
        "reward_parts": _reward_parts(s.reward) if s.reward else [],
        "encoder_words": _encoder(view),
        "with_made": any(arm.made for arm in scored.values()),
        "own_steps": [arm for arm in arms if arm.ner],
        "arms": arms,
        "named_before": s.evaluate is not None and s.evaluate.candidate == view.focus,
        "sealed": view.split in ("test", "out-of-fold") and view.seal_opened == 1,
        "least": DEMONSTRATION_BELOW,
        "worth_known": any(c.worth for c in view.comparisons),
        "versions": [f"{k} {v}" for k, v in view.versions.items() if k != "notesmith"],
        "machine": _machine(view.machine),
        "seconds": sum(seconds) if seconds else None,
        "last_sentence": view.sentences[-1] if view.sentences else "",
    }


_LM_WORDS = {
    "gemma3-270m-offline": "Gemma 3 270M (base; 4-bit weights from the Python package index, "
    "dequantised)"
}
_ENCODER_WORDS = {"minilm": "all-MiniLM-L6-v2"}
_SOURCES = {
    "replaced": "copies of it whose mentions were replaced by other gold mentions of the label",
    "replaced-proposed": "copies of it whose mentions were replaced, by proposed names too",
    "lwtr": "copies of it with words redrawn among those seen under the same tag",
    "shuffled": "copies of it with words shuffled within segments",
    "synthetic": "the generator's text",
    "synthetic-unfiltered": "the generator's text, unfiltered",
    "synthetic-relabelled": "the generator's text, labelled by the student of gold alone",
    "synthetic-shuffled-labels": "the generator's text with its labels shuffled (a placebo)",
}
_METHODS: dict[str, tuple[str, tuple[str, ...]]] = {
    "grpo": ("group relative policy optimisation", ("shao2024grpo",)),
    "dpo": ("direct preference optimisation on pairs of its own texts", ("rafailov2023dpo",)),
    "best-of-n": ("fine-tuning on the best of its own texts", ()),
}


def _by_generator(source: str) -> bool:
    return source.startswith("synthetic")


def _citer(references: References) -> Callable[..., Plain]:
    def cite(*keys: str) -> Plain:
        found = [f"@{key}" for key in keys if references.has(key)]
        return Plain(f" [{'; '.join(found)}]" if found else "")

    return cite


def _times(n: int) -> str:
    return {1: "once", 2: "twice"}.get(n, f"{n} times")


def _labels(view: View) -> str:
    if not view.labels or len(view.labels) > 5:
        return f"{len(view.labels)} kinds of mention" if view.labels else "mentions"
    return words.listed(view.labels)


def _supports(view: View) -> list[str]:
    arm = view.arm(view.comparator, view.main_size)
    scores = arm.by_label.items() if arm else ()
    return [f"{label} {words.count(score.support)}" for label, score in scores]


def _arm_row(arm: Arm, s: Settings) -> ArmRow:
    known = s.arms.get(arm.name)
    return ArmRow(
        arm.name,
        tuple(_SOURCES.get(source, source) for source in arm.made),
        arm.n_replicates,
        arm.f1,
        tuple(f"{name} to {value}" for name, value in known.ner.items()) if known else (),
        known.best_of if known else 1,
    )


def _learnt(view: View, s: Settings) -> list[Learnt]:
    found = []
    runs = [run for run in view.rl if run.size == view.main_size]
    for arm in dict.fromkeys(run.arm for run in runs):
        mine = [run for run in runs if run.arm == arm]
        said, keys = _METHODS.get(mine[0].method, (mine[0].method, ()))
        found.append(
            Learnt(
                arm,
                said,
                keys,
                mine[0].placebo,
                s.rl_of(arm),
                _mean(run.first_reward for run in mine),
                _mean(run.best_reward for run in mine),
            )
        )
    return found


def _mean(values: Any) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _reward_parts(reward: RewardConfig) -> list[str]:
    parts = {
        f"agreement with a committee of {reward.members} students on spans nobody asked for": (
            reward.agreement
        ),
        "the predicted benefit for a student": reward.benefit,
        "fluency": reward.fluency,
        "density of mentions": reward.density,
        "coverage of the request": reward.coverage_weight if reward.coverage == "part" else 0.0,
        "the authors' own rewards": reward.user_weight if reward.user else 0.0,
    }
    return [f"{said} (weight {weight:g})" for said, weight in parts.items() if weight]


def _encoder(view: View) -> str:
    name = _ENCODER_WORDS.get(view.encoder.name, view.encoder.name)
    if not name:
        return "an encoder [name, version]"
    if view.encoder.parameters is None:
        return name
    return f"{name} ({view.encoder.parameters / 1e6:.0f} million parameters)"


def _machine(facts: Mapping[str, str]) -> list[str]:
    cores, cpu, memory = (facts.get(name) for name in ("cores", "cpu", "memory_gib"))
    found = []
    if cores:
        of = f" ({cpu})" if cpu else ""
        found.append(f"{cores} processor core{'' if cores == '1' else 's'}{of}")
    if memory:
        found.append(f"{memory} GiB of memory")
    return found
