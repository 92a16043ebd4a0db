"""Checks of arms that learn from annotators: that there is somebody to label, and something."""

from __future__ import annotations

from collections.abc import Mapping

from notesmith.config.recipe import ArmConfig, RecipeConfig
from notesmith.errors import ConfigError
from notesmith.experiment.stages import ANNOTATORS, SOURCES, annotators_of
from notesmith.experiment.stages.silver import SOURCE as SILVER
from notesmith.experiment.stages.tagger import ANNOTATOR as TAGGER
from notesmith.experiment.stages.teachers import ANNOTATOR as STUDENTS

_MINED = "synthesize.names.mined"


def check_annotators(config: RecipeConfig, arm: ArmConfig) -> None:
    """See that there are notes, annotators and teachers for ``arm``, where it learns from them.

    Raises:
        ConfigError: something is lacking, or names nothing of the recipe.
    """
    _check_taught(config, arm)
    by = annotators_of(arm)
    if unknown := [name for name in by if name not in ANNOTATORS]:
        raise ConfigError(
            f"arm {arm.name!r}: annotate.by names {unknown[0]!r}; there are {', '.join(ANNOTATORS)}"
        )
    for field, names in (("by", by), ("teachers", _teachers_of(arm))):
        if len(set(names)) < len(names):
            raise ConfigError(f"arm {arm.name!r}: annotate.{field} names one twice")
    if TAGGER.name in by and not arm.annotate.tagger.path:
        raise ConfigError(
            f"arm {arm.name!r}: annotate.by names 'tagger'; give annotate.tagger.path, and "
            "annotate.tagger.kind unless it is a file of predictions"
        )
    if STUDENTS.name in by:
        _check_teachers(arm, {each.name: each for each in config.arm})


def check_mined(config: RecipeConfig) -> None:
    """See that names can be mined, where the generator is asked for them.

    Raises:
        ConfigError: as ``check_annotators``, of [annotate]; or a teacher learns from what the
            generator writes once it has the names.
    """
    if not config.synthesize.names.mined:
        return
    annotate = config.annotate.model_copy(update={"teaches": ("notes",)})
    found = ArmConfig(name=_MINED, made=(SILVER.name,), annotate=annotate)
    check_annotators(config, found)
    arms = {each.name: each for each in config.arm}
    above, seen = list(_teachers_of(found)), set[str]()
    while above:
        arm = arms[above.pop()]
        if any(SOURCES[name].needs_lm for name in arm.made):
            raise ConfigError(
                f"{_MINED}: the students of arm {arm.name!r} label the notes and learn from names "
                "that are mined in them; name an arm without proposals and synthetic text in "
                "annotate.teachers"
            )
        if arm.name not in seen:
            seen.add(arm.name)
            above += _teachers_of(arm)


def _check_taught(config: RecipeConfig, arm: ArmConfig) -> None:
    """That what annotators are to teach is there."""
    teaches = arm.annotate.teaches
    others = [name for name in arm.made if not SOURCES[name].by_annotators]
    if len(others) < len(arm.made):
        if config.corpus.unlabelled is None and not config.draws.unlabelled_documents:
            raise ConfigError(
                f"arm {arm.name!r} learns from notes without labels and there are none: give "
                "corpus.unlabelled, or draws.unlabelled_documents to use documents of train as such"
            )
        if "notes" not in teaches:
            raise ConfigError(
                f"arm {arm.name!r} learns from notes and annotate.teaches lacks 'notes'; add it"
            )
    if "made" in teaches and not others:
        raise ConfigError(
            f"arm {arm.name!r}: annotate.teaches has 'made' and the arm has no made text beside "
            "notes; leave it out, or add another source to made"
        )
    if "gold" in teaches and arm.annotate.students < 2:
        raise ConfigError(
            f"arm {arm.name!r}: annotate.teaches has 'gold', which is divided into as many folds "
            "as annotate.students; set that to 2 or more"
        )
    if config.evaluate.protocol == "cross-fit" and set(teaches) - {"notes"}:
        raise ConfigError(
            f"arm {arm.name!r}: cross-fit teaches notes alone; set annotate.teaches = ['notes'], "
            "or evaluate.protocol = 'held-out'"
        )


def _check_teachers(arm: ArmConfig, arms: Mapping[str, ArmConfig]) -> None:
    """That the arm's teachers are arms whose students can vote, and that it is none of them."""
    teachers = arm.annotate.teachers
    if not teachers:
        raise ConfigError(f"arm {arm.name!r}: annotate.teachers is empty; name an arm, as 'gold'")
    if unknown := [name for name in teachers if name not in arms]:
        raise ConfigError(
            f"arm {arm.name!r} is taught by {unknown[0]!r}; the recipe has the arms "
            f"{', '.join(arms)}"
        )
    if len({arms[name].ner.attributes for name in teachers}) > 1:
        raise ConfigError(
            f"arm {arm.name!r}: students of its teachers cannot vote, as they learn other "
            "attributes; give all teachers the same ner.attributes"
        )
    above, seen = list(teachers), set[str]()
    while above:
        name = above.pop()
        if name == arm.name:
            raise ConfigError(
                f"arm {arm.name!r} is its own teacher, directly or through others; name an arm in "
                "annotate.teachers that does not learn from it"
            )
        if name in arms and name not in seen:
            seen.add(name)
            above += _teachers_of(arms[name])


def _teachers_of(arm: ArmConfig) -> tuple[str, ...]:
    """The arms whose students label for ``arm``."""
    return arm.annotate.teachers if STUDENTS.name in annotators_of(arm) else ()
