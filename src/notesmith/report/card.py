"""Dataset and model cards: Markdown with the metadata block that the Hugging Face hub reads.

Written from results alone, so a card holds no note text. What was not done is said plainly.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from notesmith import __version__
from notesmith.errors import ConfigError
from notesmith.findings import Arm
from notesmith.report.adapted import adapted_sentences
from notesmith.report.made import made_means
from notesmith.report.markdown import Plain, render
from notesmith.report.notes import limits, terms_sentence, weights_of
from notesmith.results import Results

_SIZE_CATEGORIES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"))
_LARGER = "100K<n<1M"


@dataclass(frozen=True, slots=True)
class CardFacts:
    """What a run cannot know about itself.

    ``licence`` is a Hugging Face licence id; ``other`` where the terms of source and models decide.
    """

    title: str = ""
    licence: str = "other"
    language: str = "en"
    source: str = ""
    contact: str = ""


def dataset_card(results: Results, facts: CardFacts) -> str:
    """Return the card of the made text.

    Raises:
        ConfigError: the run made no text, or a fact is malformed.
    """
    _check(facts)
    groups = made_means(results)
    if not groups:
        raise ConfigError(f"run {results.recipe!r} made no text: there is no dataset to describe")
    kept = sum(made.kept for made in results.made)
    title = facts.title or f"{results.recipe}: synthetic text"
    metadata = {
        **_licence(results, facts),
        "language": [facts.language],
        "pretty_name": title,
        "task_categories": ["token-classification"],
        "task_ids": ["named-entity-recognition"],
        "size_categories": [next((c for top, c in _SIZE_CATEGORIES if kept < top), _LARGER)],
        "tags": ["synthetic", "medical", "notesmith", *_model_tags(results)],
        "annotations_creators": ["machine-generated"],
        "language_creators": ["machine-generated"],
    }
    return _render(
        "dataset_card.md",
        results,
        facts,
        title=title,
        metadata=metadata,
        groups=groups,
        descriptions=results.config.corpus.label_descriptions or {},
        reasons=tuple(dict.fromkeys(reason for made in groups for reason in made.dropped)),
        agreement=results.config.synthesize.agreement,
    )


def model_card(results: Results, facts: CardFacts, *, arm: str = "", size: int = 0) -> str:
    """Return the card of the model trained as ``arm`` (the verdict's arm if not given).

    Raises:
        ConfigError: no such arm was scored at ``size``, or a fact is malformed.
    """
    _check(facts)
    name, n = arm or results.focus or results.comparator, size or results.main_size
    found = results.arm(name, n)
    if found is None:
        known = ", ".join(sorted({a.name for a in results.arms_at(n)})) or "none"
        raise ConfigError(f"no arm {name!r} at {n} gold documents; scored there: {known}")
    title = facts.title or f"{results.recipe}: NER trained as {found.name}"
    encoder = results.encoder.name if results.encoder else ""
    metadata = {
        **_licence(results, facts),
        "language": [facts.language],
        "library_name": "transformers",
        "pipeline_tag": "token-classification",
        **({"base_model": encoder.partition("@")[0]} if "/" in encoder else {}),
        "tags": ["token-classification", "medical", "notesmith"]
        + (["synthetic", *_model_tags(results)] if found.made else []),
        "metrics": ["f1", "precision", "recall"],
        "model-index": [{"name": title, "results": [_result(results, found, facts)]}],
    }
    row = next(
        (c for c in results.against_comparator(n) if c.arm == found.name),
        None,
    )
    return _render(
        "model_card.md",
        results,
        facts,
        title=title,
        metadata=metadata,
        arm=found,
        row=row,
        adapted=adapted_sentences(results, size=n, arm=found.name),
    )


def _result(results: Results, arm: Arm, facts: CardFacts) -> dict[str, Any]:
    scores = arm.decided
    metrics = [
        {"type": kind, "name": said, "value": round(score.mean / 100, 4), "verified": False}
        for score, kind, said in (
            (scores.f1, "f1", "Strict micro-F1"),
            (scores.precision, "precision", "Strict precision"),
            (scores.recall, "recall", "Strict recall"),
            (scores.unseen_f1, "f1", "Strict F1, mentions unseen in training"),
        )
    ]
    return {
        "task": {"type": "token-classification", "name": "Named entity recognition"},
        "dataset": {
            "name": facts.source or results.recipe,
            "type": _slug(facts.source or results.recipe),
            "split": arm.decided_on,
        },
        "metrics": metrics,
    }


def _licence(results: Results, facts: CardFacts) -> dict[str, Any]:
    if facts.licence != "other":
        return {"license": facts.licence}
    terms = (results.lm and results.lm.terms) or ""
    link = terms if terms.startswith("https://") else ""
    return {
        "license": "other",
        "license_name": "terms-of-source-and-models",
        **({"license_link": link} if link else {}),
    }


def _model_tags(results: Results) -> list[str]:
    return ["gemma"] if results.lm and "gemma" in results.lm.name.lower() else []


def _check(facts: CardFacts) -> None:
    if not re.fullmatch(r"[a-z]{2,3}(-[A-Za-z0-9]{2,8})*", facts.language):
        raise ConfigError(f"language {facts.language!r} is not a code such as 'en'")
    if not re.fullmatch(r"[a-z0-9][a-z0-9.+-]*", facts.licence):
        raise ConfigError(f"licence {facts.licence!r} is not a Hugging Face id such as 'cc-by-4.0'")


def _render(template: str, results: Results, facts: CardFacts, **values: Any) -> str:
    return render(
        template,
        results=results,
        facts=facts,
        metadata=Plain(f"---\n{to_yaml(values.pop('metadata'))}---"),
        notes=limits(results),
        terms=terms_sentence(results),
        weights=weights_of(results.lm.name) if results.lm else "",
        version=__version__,
        **values,
    )


def to_yaml(value: Mapping[str, Any]) -> str:
    """Return a mapping as block YAML; scalars are JSON, which YAML reads."""
    return "".join(f"{line}\n" for line in _yaml_lines(value))


def _yaml_lines(value: Mapping[str, Any]) -> list[str]:
    lines = []
    for key, item in value.items():
        if isinstance(item, Mapping):
            lines += [f"{key}:", *(f"  {line}" for line in _yaml_lines(item))]
        elif isinstance(item, Sequence) and not isinstance(item, str):
            lines.append(f"{key}:")
            for member in item:
                inner = _yaml_lines(member) if isinstance(member, Mapping) else [_scalar(member)]
                lines += [f"{'- ' if i == 0 else '  '}{line}" for i, line in enumerate(inner)]
        else:
            lines.append(f"{key}: {_scalar(item)}")
    return lines


def _scalar(value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(r"[a-z][a-z0-9-]*", value) and value not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=True)


# YAML 1.1 reads these as truth values or nothing ("no" is Norwegian too).
_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n"})


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unnamed"
