"""Pages: the report, the examples beside it, and documents in colour. Everything is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from notesmith import __version__
from notesmith.config import RecipeConfig
from notesmith.document import Document
from notesmith.report import words
from notesmith.report.examples import ExampleSet
from notesmith.report.figures import (
    Drawn,
    all_figures,
    funnel_name,
    hours_phrase,
    worth_interval,
    worth_words,
)
from notesmith.report.marked import hues, pieces, tag, visible
from notesmith.report.notes import TERMS_REACH, honest_notes, model_terms
from notesmith.report.reading import without_folders
from notesmith.report.strips import claim_words
from notesmith.report.svg import slug
from notesmith.report.view import Arm, MadeText, View

_TONE = {"use": "good", "do not use": "bad", "label more": "warn", "underpowered": "warn"}


@cache
def environment() -> Environment:
    """The template environment: autoescape always, undefined names are errors."""
    env = Environment(
        loader=PackageLoader("notesmith.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters |= {
        "points": words.points,
        "signed": words.signed,
        "n": words.count,
        "percent": words.percent,
        "duration": words.duration,
        "memory": words.memory,
        "visible": visible,
        "minus": words.minus,
    }
    env.globals |= {
        "interval": words.interval,
        "scored_on": words.scored_on,
        "plural": words.plural,
        "claim_words": claim_words,
        "worth_interval": worth_interval,
        "hours_phrase": hours_phrase,
        "advice": words.advice,
        "pieces": pieces,
        "tag": tag,
        "terms_reach": TERMS_REACH,
        "version": __version__,
    }
    return env


def render_report(view: View) -> str:
    """Return the report as one self-contained page without note text."""
    figures = all_figures(view)
    return (
        environment()
        .get_template("report.html")
        .render(
            view=view,
            style=page_style(),
            figures={name: _both(drawn) for name, drawn in figures.items()},
            tone=_TONE.get(view.recommendation, "calm"),
            sizes=[view.main_size, *(s for s in view.sizes if s != view.main_size)],
            labels=_labels(view),
            attributes=_attributes(view),
            made=_made(view),
            rl=view.rl,
            learnt={f"rl-{slug(run.arm)}": run.arm for run in view.rl},
            notes=honest_notes(view),
            terms=model_terms(view),
            worth_sentence=worth_words(view),
            settings=_settings(view.config),
            machine=_machine(view.machine),
        )
    )


def render_examples(examples: ExampleSet) -> str:
    """Return the page of examples, which holds note text and says so."""
    docs = [*examples.gold, *examples.kept, *(d.doc for d in examples.dropped if d.doc)]
    both = (text for pair in examples.pairs for text in (pair.before, pair.after))
    docs += [text for text in both if isinstance(text, Document)]
    return (
        environment()
        .get_template("examples.html")
        .render(examples=examples, style=page_style(), hues=hues(docs))
    )


def render_documents(docs: Sequence[Document], *, title: str) -> str:
    """Return documents in colour as one self-contained page."""
    return (
        environment()
        .get_template("documents.html")
        .render(docs=docs, title=title, style=page_style(), hues=hues(docs))
    )


def page_style() -> Markup:
    """The style sheet of every page."""
    env = environment()
    # The style sheet is ours and holds no values from outside.
    return Markup(env.get_template("style.css").render())


def _both(drawn: Drawn) -> Markup:
    # Figure text is escaped where it is drawn (report.svg).
    return Markup(
        f'<div class="wide">{drawn.wide.inline()}</div>'
        f'<div class="narrow">{drawn.narrow.inline(prefix="n-")}</div>'
    )


def _labels(view: View) -> list[dict[str, Any]]:
    """Rows of the table by label: the comparator and the focus arm at the main size."""
    base, focus = view.arm(view.comparator, view.main_size), view.arm(view.focus, view.main_size)
    if base is None:
        return []
    rows = []
    for label, a in sorted(base.by_label.items(), key=lambda kv: (-(kv[1].support or 0), kv[0])):
        b = focus.by_label.get(label) if focus else None
        known = b is not None and words.is_number(a.f1) and words.is_number(b.f1)
        rows.append(
            {
                "label": label,
                "base": a,
                "focus": b,
                "change": b.f1 - a.f1
                if known and b and b.f1 is not None and a.f1 is not None
                else None,
            }
        )
    return rows


def _attributes(view: View) -> dict[str, list[Arm]]:
    """The arms at the main size that learnt each attribute, by its name."""
    arms = view.arms_at(view.main_size)
    names = sorted({name for arm in arms for name in arm.attributes})
    return {name: [arm for arm in arms if name in arm.attributes] for name in names}


def _made(view: View) -> dict[str, Any]:
    """Made text by size: the main size leads, all sizes stand in the table."""
    ordered: list[MadeText] = sorted(
        view.made, key=lambda m: (m.size != view.main_size, m.size, m.source)
    )
    reasons = list(dict.fromkeys(reason for m in ordered for reason in m.dropped))
    return {
        "groups": ordered,
        "figures": {funnel_name(m): m.source for m in ordered if m.size == view.main_size},
        "reasons": reasons,
        "proposed": any(words.is_number(m.unseen_proposed) for m in ordered),
    }


def _settings(config: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The recipe's tables as names and values; only tables that a recipe has."""
    tables: list[tuple[str, list[tuple[str, str]]]] = []
    loose: list[tuple[str, str]] = []
    for name in RecipeConfig.model_fields:
        value = config.get(name)
        if isinstance(value, Mapping):
            tables.append((name, _flat(value)))
        elif name == "arm" and isinstance(value, Sequence) and not isinstance(value, str):
            arms = [_flat(arm) for arm in value if isinstance(arm, Mapping)]
            tables += [(f"arm {dict(arm).get('name', '')}", arm) for arm in arms]
        elif value is not None:
            loose.append((name, _value(value)))
    return [("recipe", loose), *tables] if loose else tables


def _flat(table: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    rows = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{name}.")
        else:
            rows.append((f"{prefix}{name}", _value(value)))
    return rows


def _value(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return ", ".join(_value(v) for v in value) or words.NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    return words.NONE if value is None or value == "" else without_folders(str(value))


def _machine(facts: Mapping[str, str]) -> dict[str, str]:
    shown = {}
    for name, value in facts.items():
        if name.endswith("_bytes") and value.isdigit():
            shown[name.removesuffix("_bytes")] = words.memory(int(value))
        elif name.endswith("_gib"):
            shown[name.removesuffix("_gib")] = f"{value} GiB"
        else:
            shown[name.replace("_", " ")] = value
    return shown
