"""Pages: the report, the examples beside it, and documents in colour. Everything is escaped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from notesmith import __version__
from notesmith.document import Document
from notesmith.findings import Arm
from notesmith.marked import hues, to_html, visible
from notesmith.report import words
from notesmith.report.adapted import adapted_sentences
from notesmith.report.examples import ExampleSet
from notesmith.report.figures import (
    Drawn,
    all_figures,
    funnel_name,
    hours_phrase,
    worth_interval,
    worth_words,
)
from notesmith.report.labelled import SilverMeans, mined_means, silver_means
from notesmith.report.made import MadeMeans, made_means
from notesmith.report.notes import TERMS_REACH, honest_notes, model_terms
from notesmith.report.settings import tables_of
from notesmith.report.strips import claim_words
from notesmith.report.svg import slug
from notesmith.results import Machine, Results

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
        "exact": words.exact,
    }
    env.globals |= {
        "interval": words.interval,
        "scored_on": words.scored_on,
        "plural": words.plural,
        "claim_words": claim_words,
        "worth_interval": worth_interval,
        "hours_phrase": hours_phrase,
        "advice": words.advice,
        "to_html": _marked,
        "terms_reach": TERMS_REACH,
        "version": __version__,
    }
    return env


def _marked(doc: Document, colours: Mapping[str, float], *, here: str = "") -> Markup:
    return Markup(to_html(doc, colours, here=here))  # it has escaped the text


def render_report(results: Results) -> str:
    """Return the report as one self-contained page without note text."""
    figures = all_figures(results)
    silver = silver_means(results, size=results.main_size)
    return (
        environment()
        .get_template("report.html")
        .render(
            results=results,
            style=page_style(),
            figures={name: _both(drawn) for name, drawn in figures.items()},
            tone=_TONE.get(results.verdict.recommendation, "calm"),
            sizes=[results.main_size, *(s for s in results.sizes if s != results.main_size)],
            labels=_labels(results),
            attributes=_attributes(results),
            made=_made(results),
            silver=silver,
            silver_labels=_most_telling(silver, results.focus),
            mined=mined_means(results, size=results.main_size),
            rl=results.rl,
            learnt={f"rl-{slug(run.arm)}": run.arm for run in results.rl},
            adapted=adapted_sentences(results, size=results.main_size),
            notes=honest_notes(results),
            terms=model_terms(results),
            worth_sentence=worth_words(results),
            settings=tables_of(results.config),
            machine=_machine(results.machine),
        )
    )


def _most_telling(silver: Sequence[SilverMeans], focus: str | None) -> SilverMeans | None:
    """The silver that is shown by label: of the verdict's arm if it has any, else the first.

    None where there are fewer than two labels or none of the notes' labels is known.
    """
    known = [row for row in silver if len(row.by_label) > 1]
    return next((row for row in known if row.arm == focus), known[0] if known else None)


def render_examples(
    examples: ExampleSet, *, beside: str = "report.html", called: str = "The report"
) -> str:
    """Return the page of examples, which holds note text and says so.

    Args:
        examples: what is shown.
        beside: name of the file without text that the page links to.
        called: what that file is called in the link.
    """
    docs = [*examples.gold, *examples.kept, *(d.doc for d in examples.dropped if d.doc)]
    both = (text for pair in examples.pairs for text in (pair.before, pair.after))
    docs += [text for text in both if isinstance(text, Document)]
    return (
        environment()
        .get_template("examples.html")
        .render(
            examples=examples, style=page_style(), hues=hues(docs), beside=beside, called=called
        )
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


def _labels(results: Results) -> list[dict[str, Any]]:
    """Rows of the table by label: the comparator and the focus arm at the main size."""
    base, focus = (
        results.arm(name, results.main_size) for name in (results.comparator, results.focus)
    )
    if base is None:
        return []
    rows = []
    for label, a in sorted(base.by_label.items(), key=lambda kv: (-kv[1].support, kv[0])):
        b = focus.by_label.get(label) if focus else None
        rows.append({"label": label, "base": a, "focus": b, "change": b.f1 - a.f1 if b else None})
    return rows


def _attributes(results: Results) -> dict[str, list[Arm]]:
    """The arms at the main size that learnt each attribute, by its name."""
    arms = results.arms_at(results.main_size)
    names = sorted({name for arm in arms for name in arm.attributes})
    return {name: [arm for arm in arms if name in arm.attributes] for name in names}


def _made(results: Results) -> dict[str, Any]:
    """Made text by size: the main size leads, all sizes stand in the table."""
    ordered: list[MadeMeans] = sorted(
        made_means(results), key=lambda m: (m.size != results.main_size, m.size, m.source)
    )
    reasons = list(dict.fromkeys(reason for m in ordered for reason in m.dropped))
    return {
        "groups": ordered,
        "figures": {funnel_name(m): m.source for m in ordered if m.size == results.main_size},
        "reasons": reasons,
        "proposed": any(m.unseen_proposed is not None for m in ordered),
        "main": next((s.name for arm in results.arms for s in arm.made if s.is_main), None),
    }


def _machine(facts: Machine) -> dict[str, str]:
    shown = {name: str(value) for name, value in facts if value is not None}
    memory = shown.pop("memory_gib", None)
    return shown if memory is None else {**shown, "memory": f"{memory} GiB"}
