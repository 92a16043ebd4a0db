"""The models that a recipe names: fetched where it says so, pinned by commit, seen to be there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from notesmith.config.recipe import RecipeConfig
from notesmith.config.student import NerConfig
from notesmith.errors import ModelError
from notesmith.experiment.stages import ANNOTATORS, SOURCES, annotators_of
from notesmith.lm.presets import HUB_NAMES, OFFLINE
from notesmith.models import hub
from notesmith.ner.presets import HUB_PRESETS, PACKAGED


@dataclass(frozen=True, slots=True)
class Named:
    """A model that a recipe names: in which field, and which short names stand for what there.

    ``packaged`` are those that come as a Python package.
    """

    field: str
    name: str
    presets: Mapping[str, str]
    packaged: tuple[str, ...]

    @property
    def on_hub(self) -> hub.HubModel | None:
        """What it is on a hub; None for folders and packages."""
        return None if self.name in self.packaged else hub.hub_model(self.name, self.presets)

    def check(self) -> None:
        """Raise ModelError unless it is on this machine."""
        if self.name not in self.packaged:
            hub.find(self.name, self.presets, known=self.packaged)


def needs_lm(config: RecipeConfig) -> bool:
    """Whether any arm trains on what the language model wrote, proposed or labelled."""
    return any(
        any(SOURCES[source].needs_lm for source in arm.made)
        or any(ANNOTATORS[name].needs_lm for name in annotators_of(arm))
        for arm in config.arm
    )


def models_of(config: RecipeConfig) -> Iterator[Named]:
    """The language model, if an arm needs it, and each encoder once."""
    if needs_lm(config):
        yield Named("lm.model", config.lm.model, HUB_NAMES, OFFLINE)
    for name in dict.fromkeys(arm.ner.encoder for arm in config.arm):
        yield Named("ner.encoder", name, HUB_PRESETS, (PACKAGED,))


def have_models(config: RecipeConfig) -> RecipeConfig:
    """See that all models are here, fetching them if the recipe allows it, and name their commits.

    Raises:
        ModelError: one is no folder or preset, or is to be fetched and may not be.
    """
    for model in models_of(config):
        if config.hub and model.on_hub is not None:
            hub.fetch(model.name, model.presets)
        try:
            model.check()
        except ModelError as error:
            raise ModelError(f"{model.field} {error}") from None
    return pin_models(config)


def pin_models(config: RecipeConfig) -> RecipeConfig:
    """``config`` with ``NAME@COMMIT`` for each of a hub's models that was fetched."""

    def pinned(ner: NerConfig) -> NerConfig:
        return ner.model_copy(update={"encoder": hub.pinned(ner.encoder, HUB_PRESETS)})

    lm = config.lm.model_copy(update={"model": hub.pinned(config.lm.model, HUB_NAMES)})
    arms = tuple(arm.model_copy(update={"ner": pinned(arm.ner)}) for arm in config.arm)
    return config.model_copy(update={"lm": lm, "ner": pinned(config.ner), "arm": arms})
