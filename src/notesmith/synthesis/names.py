"""Names to ask for: proposed by the base model, scored by type, joined by the user's terms.

The base model, before fine-tuning, goes on with bulleted lists of gold mentions. Each proposal gets
a type score: its log probability in a list of its own label less the best in a list of another
type, per token. Precision goes before novelty: a wrong name costs the student more than a missing
one (docs/experiments/ncbi-disease.md).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from notesmith.config.generator import NamesConfig, SampleConfig
from notesmith.metrics import fold_mention
from notesmith.progress import OnProgress, silent

# Lists of other types that proposals are contrasted with; labels of the corpus join them.
CONTRASTS: Mapping[str, tuple[str, ...]] = {
    "Genes and proteins": ("BRCA1", "p53", "insulin receptor", "CFTR", "beta-catenin", "HLA-DR"),
    "Drugs and chemicals": ("aspirin", "metformin", "sodium", "cisplatin", "warfarin", "glucose"),
    "Tests and procedures": ("MRI", "biopsy", "blood count", "sequencing", "ECG", "colonoscopy"),
    "Parts of the body": ("liver", "left ventricle", "T cells", "spinal cord", "skin", "colon"),
    "People and places": ("patients", "families", "France", "children", "women", "controls"),
    "General words": ("increased risk", "early onset", "analysis", "region", "results", "age"),
}
_SHOTS = 10
_SCORE_SHOTS = 6
_BULLET = re.compile(r"^\s*[-*•]?\s*(.+?)[\s.;,:]*$")
_EDGE = frozenset(
    "a an the of in on at to for with by from and or that which is are was were this these its "
    "their his her other some any no not as be has have had other such many several".split()
)


@dataclass(frozen=True, slots=True)
class NameSet:
    """Approved new names by label, best first; ``counts`` says what became of the proposals."""

    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    tokens: int = 0
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A JSON object; it holds names and belongs with documents, not with metrics."""
        return {
            "names": {label: list(found) for label, found in self.names.items()},
            "counts": dict(self.counts),
            "tokens": self.tokens,
            "seconds": self.seconds,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> NameSet:
        """The inverse of ``to_json``."""
        names = {label: tuple(found) for label, found in data["names"].items()}
        return cls(names, dict(data["counts"]), int(data["tokens"]), float(data["seconds"]))


def heading(label: str) -> str:
    """A label as the heading of a list: ``Sign_symptom`` becomes ``Sign symptom names``."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])|[_\-/]+", " ", label).strip()
    return f"{words[:1].upper()}{words[1:].lower()} names" if not words.isupper() else words


def bulleted(title: str, items: Sequence[str]) -> str:
    """A list for the model to go on with; it ends after the next bullet."""
    return f"{title}:\n" + "".join(f"- {item}\n" for item in items) + "-"


def clean(line: str) -> str | None:
    """The name on a line of a list, or None where it cannot be one."""
    match = _BULLET.match(line)
    if match is None:
        return None
    name = " ".join(match.group(1).split())
    words = name.split()
    if not 2 <= len(name) <= 60 or len(words) > 6 or not any(c.isalpha() for c in name):
        return None
    if words[0].casefold() in _EDGE or words[-1].casefold() in _EDGE:
        return None
    if name.count("(") != name.count(")") or any(c in name for c in ':;<>{}[]\\|\n"'):
        return None
    return name


def propose_names(
    lm: Any,
    gold: Mapping[str, Sequence[str]],
    config: NamesConfig,
    *,
    seed: int,
    terms: Mapping[str, Sequence[str]] | None = None,
    on_progress: OnProgress = silent,
) -> NameSet:
    """Propose names for each label and keep the best by type score.

    Args:
        lm: the base model, before fine-tuning (``notesmith.lm.LanguageModel``).
        gold: gold names by label.
        config: amounts.
        seed: of lists and sampling.
        terms: the user's own names by label; they are approved as they stand.
        on_progress: told of sampling progress.

    Returns:
        approved names that are not in gold, and counts of proposals by fate.
    """
    from notesmith.lm.sample import sample
    from notesmith.lm.score import score_continuations

    rng = np.random.default_rng(seed)
    counts: Counter[str] = Counter()
    names: dict[str, tuple[str, ...]] = {}
    tokens, seconds = 0, 0.0
    per_list = 6
    for label, known in sorted(gold.items()):
        if len(known) < 3 or config.proposals == 0:
            continue
        n_lists = max(1, config.proposals // per_list)
        prompts = [
            bulleted(heading(label), [known[int(i)] for i in _draw(rng, len(known), _SHOTS)])
            for _ in range(n_lists)
        ]
        sampling = SampleConfig(
            max_new_tokens=48, temperature=1.0, top_k=64, top_p=0.95, constrain="none"
        )
        made = sample(lm, prompts, sampling, seed=seed, on_progress=on_progress)
        tokens, seconds = tokens + made.tokens, seconds + made.seconds
        # The last line may be cut off in the middle.
        lines = [
            line
            for s in made.samples
            for line in (s.text.split("\n") if s.ended else s.text.split("\n")[:-1])
        ]
        proposed = _distinct(lines, known, counts)
        margins = type_scores(
            proposed, label, gold, rng, lambda p, c: score_continuations(lm, p, c)
        )
        best = [name for _, name in sorted(zip(margins, proposed, strict=True), reverse=True)]
        kept = best[: round(config.keep_ratio * len(best))]
        counts["kept"] += len(kept)
        counts["type score too low"] += len(best) - len(kept)
        names[label] = tuple(kept)
    for label, given in (terms or {}).items():
        own = {fold_mention(m) for m in gold.get(label, ())}
        new = tuple(t for t in dict.fromkeys(given) if fold_mention(t) not in own)
        counts["from the term list"] += len(new)
        names[label] = tuple(dict.fromkeys([*new, *names.get(label, ())]))
    return NameSet(names, dict(counts), tokens, seconds)


def _draw(rng: np.random.Generator, n: int, k: int) -> Sequence[int]:
    return [int(i) for i in rng.permutation(n)[:k]]


def _distinct(lines: Sequence[str], known: Sequence[str], counts: Counter[str]) -> list[str]:
    seen = {fold_mention(name) for name in known}
    found: dict[str, str] = {}
    for line in lines:
        if not line.strip():
            continue
        counts["proposed"] += 1
        name = clean(line)
        if name is None:
            counts["not a name"] += 1
        elif fold_mention(name) in seen:
            counts["in gold"] += 1
        elif fold_mention(name) in found:
            counts["proposed again"] += 1
        else:
            found[fold_mention(name)] = name
    return list(found.values())


def type_scores(
    candidates: Sequence[str],
    label: str,
    gold: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
    score: Callable[[Sequence[str], Sequence[str]], Sequence[Any]],
) -> list[float]:
    """Log probability per token in a list of ``label`` less the best in a list of another type.

    Args:
        candidates: names.
        label: their label.
        gold: gold names by label; other labels of the corpus are contrasts too.
        rng: draws the items of the lists.
        score: maps (prompts, continuations) to objects with ``log_prob`` and ``n_tokens``.
    """

    def shots(items: Sequence[str]) -> list[str]:
        return [items[int(i)] for i in _draw(rng, len(items), _SCORE_SHOTS)]

    own = bulleted(heading(label), shots(gold[label]))
    others = [bulleted(title, items) for title, items in CONTRASTS.items()]
    others += [
        bulleted(heading(other), shots(items))
        for other, items in sorted(gold.items())
        if other != label and len(items) >= _SCORE_SHOTS
    ][:8]
    prompts = [own, *others]
    continuations = [f" {name}\n" for name in candidates]
    flat = score(
        [prompt for _ in candidates for prompt in prompts],
        [continuation for continuation in continuations for _ in prompts],
    )
    width = len(prompts)
    margins: list[float] = []
    for k in range(len(candidates)):
        rates = [s.log_prob / max(1, s.n_tokens) for s in flat[k * width : (k + 1) * width]]
        margins.append(rates[0] - max(rates[1:]))
    return margins
