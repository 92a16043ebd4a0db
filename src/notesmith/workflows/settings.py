"""The settings of a workflow, chosen for the documents as ``init`` does and changed by the user."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any

from notesmith.config.corpus import ReadingConfig
from notesmith.config.recipe import ArmConfig, RecipeConfig
from notesmith.document import Document
from notesmith.errors import ConfigError
from notesmith.experiment.draw import GOLD
from notesmith.experiment.recipes import recipe_of
from notesmith.experiment.stages import filtered, rivals, silver
from notesmith.experiment.stages.given import Generator, tables_of
from notesmith.experiment.stages.lm_labels import READERS
from notesmith.init import choices
from notesmith.init.profile import look
from notesmith.segments import split

ARM = filtered.SOURCE.name
"""The arm whose generator writes; the other is gold, which every recipe has."""
_REPLACED = rivals.REPLACED_SOURCE.name

# Two minutes of fine-tuning on two cores; more of both is what --hours is for.
ENOUGH_EXAMPLES = 560
MOST_TEXTS = 1000
# The documents determine these settings, or a workflow does not use them.
_NOT_HERE = re.compile(
    r"\s*(draws|evaluate|corpus\.(train|dev|test)|arm\.gold|arm\.[^.=]+\.(name|made|sizes|tuned))\b"
)


def synthesis_settings(
    docs: Sequence[Document],
    train: str,
    *,
    reading: ReadingConfig,
    seed: int,
    n: int | None = None,
    rl: bool = False,
    hub: bool = False,
    learns_all: bool = False,
    generator: Generator | None = None,
    changes: Sequence[str] = (),
) -> RecipeConfig:
    """The recipe of which ``synthesize`` computes one cell: what the filter keeps of the text.

    Args:
        docs: all gold.
        train: path of ``docs``.
        reading: how ``docs`` were read.
        seed: root of all seeds.
        n: number of texts to ask for; chosen if None.
        rl: whether the generator learns from rewards after fine-tuning.
        hub: whether models may be fetched.
        learns_all: whether fine-tuning passes over all of gold, however much there is.
        generator: a generator that was tuned before; its settings then apply.
        changes: changes of the form ``a.b=VALUE``, as in a recipe.

    Raises:
        ConfigError: a change is wrong, or contradicts the other settings.
    """
    for change in changes:
        if _NOT_HERE.match(change):
            raise ConfigError(
                f"--set {change.partition('=')[0]}: cannot be set here: one generator is tuned "
                "on all of GOLD and writes; notesmith run draws and compares"
            )
    if rl and generator is not None:
        raise ConfigError("--rl tunes a generator; leave it out with --generator")
    values: dict[str, Any] = {
        "name": "synthesize",
        "hub": hub,
        "corpus": {"train": train, **reading.model_dump(exclude_none=True)},
        "draws": {"sizes": [len(docs)], "replicates": 1, "curve": [], "seed": seed},
        "rl": {"steps": 60, "learning_rate": 1e-5},
        "arm": [{"name": GOLD}, {"name": ARM, "made": [ARM], **({"rl": {}} if rl else {})}],
    }
    # Changes are laid over tables in place.
    chosen = deepcopy(generator.tables) if generator is not None else _chosen(docs)
    values = {**values, **chosen, "corpus": {**values["corpus"], **chosen.get("corpus", {})}}
    config = recipe_of(deepcopy(values), "synthesize", changes=changes)
    n_units = units_in(docs, config)
    asked = n or (config.synthesize.units if generator else min(MOST_TEXTS, round(2.7 * n_units)))
    values["synthesize"] = {**values["synthesize"], "units": max(1, asked)}
    if generator is None:
        values["sft"] |= _learning(n_units, config.sft.replaced_copies, learns_all=learns_all)
    else:
        values["synthesize"].pop("units_per_gold", None)
    config = recipe_of(values, "synthesize", changes=changes)
    if generator is not None and (changed := _unlike(tables_of(config), generator.tables)):
        raise ConfigError(
            f"{changed}: the generator was tuned with another value and needs that; leave it out"
        )
    return config


def units_in(docs: Sequence[Document], config: RecipeConfig) -> int:
    """Number of gold's units, cut as the generator writes them, that it learns from."""
    sft = config.sft
    return sum(
        len(doc.text[start:end].split()) >= sft.min_words
        for doc in docs
        for start, end in split(doc, sft.unit, passage_sentences=sft.passage_sentences)
    )


def _chosen(docs: Sequence[Document]) -> dict[str, Any]:
    """What ``init`` would choose for these documents."""
    seen = look(docs)
    tuning = {name: choice.value for name, choice in choices.tuning(len(seen.labels)).items()}
    unit = choices.choose_unit(seen).value
    return {
        "corpus": {"kind": choices.choose_kind(seen).value},
        "sft": {"unit": unit, **{k: tuning[k] for k in ("replaced_copies", "mark_words")}},
        "synthesize": {
            "names": {"proposals": tuning["proposals"], "keep_ratio": 0.3, "gold_ratio": 0.75}
        },
        "sample": {"max_new_tokens": 256 if unit == "sentence" else 320},
        "filter": {"require_requested": True},
    }


def _learning(n_units: int, copies: int, *, learns_all: bool) -> dict[str, Any]:
    """Settings of fine-tuning: one pass over gold, or as many examples as are known to suffice."""
    if learns_all:
        return {"epochs": 1.0}
    if n_units >= ENOUGH_EXAMPLES:
        copies = 0  # gold itself holds enough
    n = max(1, n_units) * (1 + copies)
    return {
        "epochs": min(1.0, round(ENOUGH_EXAMPLES / n, 2)),
        "replaced_copies": copies,
    }


# What the generator was tuned to read and write.
_FIXED: Mapping[str, tuple[str, ...]] = {
    "corpus": ("kind", "label_descriptions"),
    "sft": ("unit", "passage_sentences", "max_unit_tokens"),
    "synthesize": ("prompt", "attributes"),
}


def _unlike(now: Mapping[str, Any], then: Mapping[str, Any]) -> str:
    """The first setting that differs and must not; empty if there is none."""
    return next(
        (
            f"{table}.{name}"
            for table, names in _FIXED.items()
            for name in names
            if now.get(table, {}).get(name) != then.get(table, {}).get(name)
        ),
        "",
    )


LABELLING = "notes"
"""The arm whose annotators label, where a language model is one of them."""
_OF_STUDENTS = ("students", "teachers")
_HERE = ("ner", "annotate", "augment")
_OF_MODEL = ("lm", "sft", "sample", "corpus")
_OF_CORPUS = ("kind", "label_descriptions")
_MOST_STEPS, _MOST_STUDENTS, _FEW_UNITS, _FEW_PASSES = 8, 2, 8, 1.0


def annotation_settings(
    *,
    seed: int,
    reading: ReadingConfig,
    students: int | None,
    labels: str | None,
    by: Sequence[str] | None,
    hub: bool,
    changes: Sequence[str],
    is_trained: bool,
    is_preview: bool,
    docs: Sequence[Document] = (),
    saved: Sequence[str] = (),
) -> RecipeConfig:
    """The recipe whose annotators label notes for ``annotate``; its gold is yet to be named.

    Args:
        seed: root of all seeds.
        reading: how gold is read.
        students: number of students of each teacher.
        labels: hard, masked or soft.
        by: annotators.
        hub: whether models may be fetched.
        changes: changes of the form ``ner.x=VALUE`` or ``annotate.x=VALUE``; with a language model
            also those of its tables.
        is_trained: whether students are trained; a saved one takes no settings of theirs.
        is_preview: use a few steps.
        docs: gold, for which settings of the language model are chosen.
        saved: language models that were saved, with the settings that they need.

    Raises:
        ConfigError: a change is wrong, or contradicts the other settings.
    """
    with_lm = uses_lm(set(by or ()) - set(saved))
    for change in changes:
        name = change.partition("=")[0].strip()
        _check_change(name, with_lm=with_lm)
        of_students = name.startswith("ner.") or name.partition(".")[2] in _OF_STUDENTS
        if of_students and not is_trained:
            raise ConfigError(f"--set {name}: is for students that are trained; leave out --model")
    if students is not None and not is_trained:
        raise ConfigError("--students is for students that are trained; leave out --model")
    if students is not None and by and "students" not in by:
        raise ConfigError(
            "--students: --by names none; add students to --by, or leave out --students"
        )
    given = {"students": students, "labels": labels, "by": by and list(by)}
    values: dict[str, Any] = {
        "name": "annotate",
        "hub": hub,
        "corpus": {"train": "-", **reading.model_dump(exclude_none=True)},
        "draws": {"sizes": [1], "replicates": 1, "curve": [], "seed": seed},
        "annotate": {name: value for name, value in given.items() if value is not None},
        "arm": [{"name": GOLD}, {"name": _REPLACED, "made": [_REPLACED]}],
    }
    if with_lm and docs:
        chosen = _chosen(docs)
        values["sft"] = chosen["sft"]
        values["corpus"] |= chosen["corpus"]
    config = recipe_of(values, "annotate", changes=changes)
    if unknown := set(config.annotate.teachers) - {GOLD, _REPLACED}:
        raise ConfigError(
            f"--set annotate.teachers: names {min(unknown)!r}; there are {GOLD!r} and {_REPLACED!r}"
        )
    return _little(config) if is_preview else config


def uses_lm(by: Iterable[str]) -> bool:
    """Whether a language model is among the annotators ``by``."""
    return not READERS.keys().isdisjoint(by)


def _check_change(name: str, *, with_lm: bool) -> None:
    """Refuse a change of what ``annotate`` does not use.

    Raises:
        ConfigError: it is one.
    """
    table, _, field = name.partition(".")
    if not with_lm and (table in ("lm", "sft", "sample") or name.startswith("annotate.lm.")):
        raise ConfigError(
            f"--set {name}: cannot be set here: no language model is tuned or prompted; name one "
            "with --by, such as --by lm-json (one that --model holds keeps its settings)"
        )
    tables = (*_HERE, *(_OF_MODEL if with_lm else ()))
    fits = table in tables and (table != "corpus" or field.partition(".")[0] in _OF_CORPUS)
    if not fits or name.startswith("annotate.notes_per_gold"):
        of_model = (
            ", of the language model [lm], [sft] and [sample], and corpus.kind" if with_lm else ""
        )
        raise ConfigError(
            f"--set {name}: cannot be set here; settings are those of [ner], [augment] and "
            f"[annotate] without notes_per_gold{of_model}"
        )


def labelling_arm(config: RecipeConfig) -> RecipeConfig:
    """``config`` with an arm that learns from notes, so that what its annotators need counts."""
    arm = ArmConfig(name=LABELLING, made=(silver.SOURCE.name,), ner=config.ner)
    arm = arm.model_copy(update={"annotate": config.annotate})
    return config.model_copy(update={"arm": (*config.arm, arm)})


def _little(config: RecipeConfig) -> RecipeConfig:
    """``config`` with two students of a few steps, and as little learning of a language model."""
    few = {"steps": min(_MOST_STEPS, config.ner.steps), "batch_size": _FEW_UNITS}
    arms = tuple(
        arm.model_copy(update={"ner": arm.ner.model_copy(update=few)}) for arm in config.arm
    )
    n = min(_MOST_STUDENTS, config.annotate.students)
    annotate = config.annotate.model_copy(update={"students": n})
    sft = config.sft.model_copy(update={"epochs": _FEW_PASSES, "replaced_copies": 0})
    lm = annotate.lm.model_copy(update={"epochs": None})
    annotate = annotate.model_copy(update={"lm": lm})
    return config.model_copy(update={"annotate": annotate, "arm": arms, "sft": sft})


def settings_of_annotation(config: RecipeConfig) -> dict[str, Any]:
    """What differs from the defaults in the settings of ``annotate``, by table."""
    ner = config.arm[0].ner.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    values = config.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    corpus = {name: value for name, value in values["corpus"].items() if name != "train"}
    others = ["annotate", "augment", *(_OF_MODEL if uses_lm(config.annotate.by) else ())]
    tables = {name: values.get(name, {}) for name in others}
    found = {**tables, "corpus": corpus, "ner": ner}
    return {name: table for name, table in found.items() if table}
