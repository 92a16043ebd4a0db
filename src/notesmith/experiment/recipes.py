"""Recipes: a packaged one by name or a TOML file, with changes, as a checked ``RecipeConfig``.

``load_recipe`` gives plain values to ``RecipeConfig`` and turns what pydantic says into one line.
``preview`` shrinks a recipe so that a few documents pass through every stage.
"""

from __future__ import annotations

import hashlib
import logging
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from notesmith.config.recipe import RecipeConfig
from notesmith.config.rewards import RL_METHODS
from notesmith.config.student import AdaptRecipeConfig
from notesmith.errors import ConfigError
from notesmith.evaluate.verdict import candidate
from notesmith.experiment.annotators import check_annotators, check_mined
from notesmith.experiment.folder import RECIPE as RECIPE
from notesmith.experiment.folder import SEAL
from notesmith.experiment.packaged import packaged_recipe, packaged_recipes
from notesmith.experiment.stages import SOURCES
from notesmith.experiment.stages.adapt import check_adapted
from notesmith.files.write import atomic_write_text
from notesmith.findings import MadeSource
from notesmith.lm.presets import PRESETS

log = logging.getLogger(__name__)

_LARGEST = 1 << 20
_DEEPEST = 20
# The parser's time is quadratic in the length of a dotted key.
_MOST_DOTS = 500
_SUM = "# Written by notesmith run. SHA-256 of the lines below: "
DEMO = "demo:"


def load_recipe(
    name_or_path: str, *, changes: Sequence[str] = (), arms: Sequence[str] = ()
) -> RecipeConfig:
    """Load a recipe.

    Args:
        name_or_path: name of a packaged recipe, or path of a TOML file.
        changes: ``a.b=VALUE`` each; VALUE is TOML, or a string where it is not. Arms are
            addressed by name: ``arm.gold.ner.steps=600``.
        arms: keep these arms of the recipe, the comparator among them; all if empty.

    Raises:
        ConfigError: there is no such recipe, it is not TOML, or a value is wrong.
    """
    return recipe_of(_read(name_or_path), name_or_path, changes=changes, arms=arms)


def recipe_of(
    values: dict[str, Any], name: str, *, changes: Sequence[str] = (), arms: Sequence[str] = ()
) -> RecipeConfig:
    """The recipe that ``values`` make; see ``load_recipe``. Changes are laid over ``values``.

    Raises:
        ConfigError: a value or a change is wrong.
    """
    if _has_shape(values):
        for change in changes:
            apply_change(values, change)
    if arms and _has_shape(values):
        _choose_arms(values, arms)
    return _validate(values, name)


def save_recipe(config: RecipeConfig, folder: Path) -> Path:
    """Write the resolved recipe, every default spelled out, as ``folder/recipe.toml``."""
    path = folder / RECIPE
    text = tomli_w.dumps(config.model_dump(mode="json", exclude_none=True))
    atomic_write_text(path, f"{_SUM}{_sha256(text)}\n{text}")
    return path


def load_saved(folder: Path) -> RecipeConfig:
    """Load what ``save_recipe`` wrote.

    Raises:
        ConfigError: it was changed since, and no seal says what the run was.
    """
    path = folder / RECIPE
    first, _, text = _text_of(path, str(path)).partition("\n")
    if first != f"{_SUM}{_sha256(text)}":
        said = (
            f"{path}: was changed since the run wrote it; copy it elsewhere to change it, and run "
            "the recipe of this run again to have it back"
        )
        if not (folder / SEAL).exists():
            raise ConfigError(said)
        log.warning("%s", said)
    return load_recipe(str(path))


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


_LITTLE_LEARNING = {
    "steps": 2,
    "rounds": 1,
    "prompts": 2,
    "prompts_per_round": 8,
    "completions": 4,
    "max_new_tokens": 32,
    "held_out": 4,
    "evaluate_every": 2,
    "save_every": 2,
}


def _little_learning(method: str) -> dict[str, int]:
    known = RL_METHODS[method].model_fields
    return {name: value for name, value in _LITTLE_LEARNING.items() if name in known}


def _little_reading(adapt: AdaptRecipeConfig) -> dict[str, int]:
    """Two steps at most, on few notes."""
    return {
        "tokens": min(2 * adapt.batch_tokens, adapt.tokens or 2 * adapt.batch_tokens),
        "most_notes": min(200, adapt.most_notes or 200),
    }


def preview(config: RecipeConfig) -> RecipeConfig:
    """Shrink ``config`` to one draw of a few documents and a few steps of everything."""
    values = config.model_dump(mode="json", exclude_none=True)
    values["name"] = f"{config.name} (preview)"
    values["draws"] |= {
        "sizes": [min(8, *config.draws.sizes)],
        "replicates": 1,
        "replicates_by_size": {},
        "curve": [],
        "dev_documents": 4,
        "test_documents": 4,
        "out_of_draw_documents": 0,
    }
    values["ner"] |= {"steps": min(8, config.ner.steps), "batch_size": 8}
    values["sft"] |= {"epochs": 0.2, "evaluations_per_epoch": 1, "replaced_copies": 1}
    values["synthesize"] |= {"units": 12}
    values["synthesize"].pop("units_per_gold", None)
    quota = {label: min(8, n) for label, n in config.synthesize.quota.items()}
    values["synthesize"]["quota"] = quota
    if config.synthesize.concepts:
        most = min(8, *(quota.get(label, 8) for label in config.synthesize.concepts))
        values["synthesize"]["concept_texts"] = max(1, most)
    values["synthesize"]["names"]["proposals"] = min(24, config.synthesize.names.proposals)
    values["sample"]["max_new_tokens"] = min(48, config.sample.max_new_tokens)
    values["rl"] |= _little_learning(config.rl.method)
    values["reward"]["members"] = 2
    values["draws"]["unlabelled_documents"] = min(8, config.draws.unlabelled_documents)
    few = {"students": 2, "notes_per_gold": 2.0}
    values["annotate"] |= few
    values["adapt"] |= _little_reading(config.adapt)
    values["evaluate"]["resamples"] = min(500, config.evaluate.resamples)
    values["evaluate"]["folds"] = 2
    if config.corpus.dev:
        # A look at the machinery is no reason to open the test set.
        values["evaluate"]["split"] = "dev"
    for arm in values["arm"]:
        arm["sizes"] = []
        if "steps" in arm["ner"]:
            arm["ner"]["steps"] = min(8, arm["ner"]["steps"])
        if "annotate" in arm:
            arm["annotate"] |= few
        if "rl" in arm:
            arm["rl"] |= _little_learning(arm["rl"].get("method", config.rl.method))
        arm["best_of"] = min(2, arm["best_of"])
        arm["votes"] = min(2, arm["votes"])
    return _validate(values, config.name)


def corpus_path(value: str) -> Path:
    """The path that a recipe's corpus value names; ``demo:train`` is in the packaged corpus.

    Raises:
        ConfigError: nothing is there.
    """
    if value.startswith(DEMO):
        from notesmith.corpus.reading import demo_corpus_path

        path = Path(demo_corpus_path()) / value.removeprefix(DEMO)
    else:
        path = Path(value).expanduser()
    if not path.exists():
        raise ConfigError(f"corpus path {value!r}: nothing is there")
    return path


@dataclass(frozen=True, slots=True)
class Filters:
    """Which part of a plan to run: empty means all. Made from ``--only field=a,b`` options."""

    stage: frozenset[str] = frozenset()
    arm: frozenset[str] = frozenset()
    size: frozenset[str] = frozenset()
    replicate: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, options: Sequence[str]) -> Filters:
        """Read ``arm=gold,synthetic``; replicates count from 1, as they are shown.

        Raises:
            ConfigError: another field, or no values.
        """
        found: dict[str, frozenset[str]] = {}
        for option in options:
            name, equals, values = option.partition("=")
            wanted = frozenset(value.strip() for value in values.split(",") if value.strip())
            if not equals or name not in cls.__slots__ or not wanted:
                raise ConfigError(
                    f"--only {option!r}: write one of stage=, arm=, size=, replicate= and values"
                )
            # An arm's own name may hold a comma.
            wanted |= {values.strip()}
            found[name] = found.get(name, frozenset()) | wanted
        return cls(**found)


def _read(name_or_path: str) -> dict[str, Any]:
    packaged = packaged_recipes()
    path = Path(name_or_path)
    if name_or_path in packaged:
        return tomllib.loads(packaged_recipe(name_or_path))
    if not path.is_file():
        raise ConfigError(
            f"no recipe {name_or_path!r}: neither a file nor one of {', '.join(packaged)}"
        )
    return _parsed(_text_of(path, name_or_path), f"recipe {name_or_path!r}")


def _text_of(path: Path, name: str) -> str:
    with path.open("rb") as file:
        data = file.read(_LARGEST + 1)
    if len(data) > _LARGEST:
        raise ConfigError(f"recipe {name!r}: is larger than 1 MiB; notesmith init writes a recipe")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ConfigError(f"recipe {name!r} is not TOML: {error}") from error


def _parsed(text: str, what: str) -> dict[str, Any]:
    try:
        if any(line.count(".") > _MOST_DOTS for line in text.split("\n")):
            raise RecursionError
        values = tomllib.loads(text)
        if _depth(values) > _DEEPEST:
            raise RecursionError
    except ValueError as error:  # of the syntax, or of a number with thousands of digits
        raise ConfigError(f"{what} is not TOML: {error}") from error
    except RecursionError:
        raise ConfigError(
            f"{what}: is nested deeper than any recipe; notesmith init writes one"
        ) from None
    return values


def _depth(value: Any) -> int:
    """How many tables and lists stand in one another; no recursion, for a dotted key is deep."""
    depth, level = 0, [value]
    while level := [x for x in level if isinstance(x, dict | list)]:
        depth += 1
        level = [y for x in level for y in (x.values() if isinstance(x, dict) else x)]
    return depth


def _has_shape(values: Mapping[str, Any]) -> bool:
    """Whether the parts that changes look into are tables; where not, validation says what is."""
    arms, evaluate = values.get("arm", []), values.get("evaluate", {})
    return (
        isinstance(arms, list)
        and all(isinstance(arm, dict) for arm in arms)
        and isinstance(evaluate, dict)
        and isinstance(evaluate.get("against", {}), dict)
    )


def apply_change(values: dict[str, Any], change: str) -> None:
    """Lay one ``a.b=VALUE`` over the tables of a recipe; VALUE is TOML, or a string where not.

    Raises:
        ConfigError: it is not written so, or names no arm or no table of the recipe.
    """
    name, equals, raw = change.partition("=")
    parts = name.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set {change!r}: write it as a.b=VALUE")
    table: Any = values
    if parts[0] == "arm":
        if len(parts) < 3:
            raise ConfigError(f"--set {change!r}: write it as arm.NAME.FIELD=VALUE")
        table, parts = _arm(values, parts[1], change), parts[2:]
    for part in parts[:-1]:
        table = table.setdefault(part, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set {change!r}: {part!r} is a value, not a table")
    table[parts[-1]] = _toml_value(raw.strip())


def _arm(values: Mapping[str, Any], name: str, change: str) -> dict[str, Any]:
    arms: list[dict[str, Any]] = values.get("arm", [])
    for arm in arms:
        if arm.get("name") == name:
            return arm
    known = ", ".join(str(arm.get("name")) for arm in arms)
    raise ConfigError(f"--set {change!r}: no arm {name!r}; the recipe has {known}")


def _toml_value(raw: str) -> Any:
    try:
        return _parsed(f"value = {raw}", "value")["value"]
    except ConfigError:
        return raw


def _choose_arms(values: dict[str, Any], arms: Sequence[str]) -> None:
    known = [arm.get("name") for arm in values.get("arm", [])]
    arms = _rejoined(arms, known)
    if unknown := [name for name in arms if name not in known]:
        raise ConfigError(f"no arm {unknown[0]!r}; the recipe has {', '.join(map(str, known))}")
    comparator = values.get("evaluate", {}).get("comparator", "gold")
    if comparator not in arms:
        raise ConfigError(f"the arms chosen lack the comparator {comparator!r}")
    values["arm"] = [arm for arm in values["arm"] if arm.get("name") in arms]
    if values.get("evaluate", {}).get("candidate") not in arms:
        values.get("evaluate", {}).pop("candidate", None)
    if against := values.get("evaluate", {}).get("against"):
        values["evaluate"]["against"] = {
            arm: other for arm, other in against.items() if arm in arms and other in arms
        }


def _rejoined(pieces: Sequence[str], known: Sequence[Any]) -> list[str]:
    """Names that a comma cut in two, put together where that makes a known one."""
    names: list[str] = []
    left = list(pieces)
    while left:
        lengths = range(len(left), 1, -1)
        n = next((n for n in lengths if ", ".join(left[:n]) in known), 1)
        names.append(", ".join(left[:n]))
        left = left[n:]
    return names


def _validate(values: Mapping[str, Any], name: str) -> RecipeConfig:
    try:
        config = RecipeConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        loc = first["loc"]
        # The method of [rl] is a step on pydantic's way to one of its options, not on a reader's.
        kept = [p for i, p in enumerate(loc) if p not in RL_METHODS or loc[:i] not in ((), ("rl",))]
        where = ".".join(map(str, kept))
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        if first["type"] == "missing":
            raise ConfigError(
                f"recipe {name!r} lacks {where}: give it with --set {where}=VALUE{more}"
            ) from None
        raise ConfigError(f"recipe {name!r}: {where or 'recipe'}: {first['msg']}{more}") from None
    check_arms(config)
    return _at_rate_of_model(config)


def _at_rate_of_model(config: RecipeConfig) -> RecipeConfig:
    """``config`` with the learning rate of its language model where the recipe names none."""
    preset = PRESETS.get(config.lm.model)
    own = preset.learning_rate if preset else None
    if own is None or config.sft.lora_rank or "learning_rate" in config.sft.model_fields_set:
        return config
    sft = config.sft.model_copy(update={"learning_rate": own})
    return config.model_copy(update={"sft": sft})


def check_arms(config: RecipeConfig) -> None:
    """See that arms name sources that there are, and a generator only where they use it.

    Where a server writes, that it writes for all generators: none may be tuned.

    Raises:
        ConfigError: one does not.
    """
    sample = config.sample
    if (sample.server is None) != (sample.server_model is None):
        raise ConfigError("sample.server and sample.server_model go together: give both or neither")
    if sample.server is not None and sample.constrain != "none":
        raise ConfigError(
            "a server cannot keep marks in legal places: set sample.constrain = 'none' (text whose "
            "marks are faulty is dropped and counted)"
        )
    for arm in config.arm:
        if unknown := [name for name in arm.made if name not in SOURCES]:
            raise ConfigError(
                f"arm {arm.name!r} is made of {unknown[0]!r}; there are {', '.join(SOURCES)}"
            )
        generated = any(SOURCES[name].by_generator for name in arm.made)
        if (arm.is_rewarded or not arm.tuned) and not generated:
            raise ConfigError(
                f"arm {arm.name!r} names a generator and trains on no text of a generator"
            )
        if generated and arm.tuned and sample.server is not None:
            raise ConfigError(
                f"arm {arm.name!r} has a tuned generator, which a server does not: set tuned = "
                "false, or leave out sample.server"
            )
        check_annotators(config, arm)
        check_adapted(config, arm)
    check_mined(config)


def adapted_in(config: RecipeConfig) -> tuple[str, ...]:
    """The arms whose encoder reads text without labels, in the recipe's order."""
    return tuple(arm.name for arm in config.arm if arm.adapted)


def made_of(config: RecipeConfig) -> dict[str, tuple[MadeSource, ...]]:
    """What each arm trains on beside gold, in the recipe's order."""
    return {arm.name: tuple(SOURCES[name].facts for name in arm.made) for arm in config.arm}


def candidate_of(config: RecipeConfig) -> str | None:
    """The arm that the verdict is about: the one that is named, else chosen without scores."""
    evaluate, adapted = config.evaluate, adapted_in(config)
    return evaluate.candidate or candidate(made_of(config), evaluate.comparator, adapted)
