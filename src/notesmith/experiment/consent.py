"""Prompts that go to a server: where they may go, and the record of a consent in the run folder.

The record holds host, model and date, and no text. Results say what it says before the figures.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from notesmith.config.recipe import RecipeConfig
from notesmith.errors import ConfigError
from notesmith.experiment.folder import CONSENTS
from notesmith.experiment.stages import ANNOTATORS, SOURCES, annotators_of
from notesmith.files.checksums import dumps_checked, loads_checked
from notesmith.files.write import atomic_write_text, read_regular
from notesmith.lm.backends.server import Endpoint, resolve
from notesmith.results import without_folders

_SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Consent:
    """That prompts may go to ``model`` on ``host``, given on an ISO date."""

    host: str
    model: str
    when: str

    @property
    def sentence(self) -> str:
        """What a reader of results must know of it."""
        return (
            f"Prompts with text of the documents were sent to {self.host} (model {self.model}), "
            f"by consent recorded on {self.when}."
        )


def server_of(config: RecipeConfig, consent: frozenset[str]) -> Endpoint | None:
    """The server that writes or labels for the arms of ``config``; None where none does.

    ``consent`` names hosts other than this machine that prompts may be sent to.

    Raises:
        ConfigError: the address is refused, or needs a consent that was not given.
    """
    writes = any(
        any(SOURCES[name].by_generator for name in arm.made)
        or any(ANNOTATORS[name].is_served for name in annotators_of(arm))
        for arm in config.arm
    )
    url = config.sample.server
    return resolve(url, consent=consent) if url is not None and writes else None


def record_consent(folder: Path, endpoint: Endpoint | None, config: RecipeConfig) -> Consent | None:
    """Write down the consent for a server that is elsewhere; once for a host and a model.

    Returns the consent as it stands in the record; None where none is needed.
    """
    if endpoint is None or endpoint.is_local:
        return None
    model = without_folders(config.sample.server_model or "")
    before = consents_in(folder)
    for known in before:
        if (known.host, known.model) == (endpoint.host, model):
            return known
    given = Consent(endpoint.host, model, datetime.now(tz=UTC).date().isoformat())
    value = {"schema": _SCHEMA, "consents": [asdict(consent) for consent in (*before, given)]}
    atomic_write_text(folder / CONSENTS, dumps_checked(value))
    return given


def consents_in(folder: Path) -> tuple[Consent, ...]:
    """The consents recorded in a run folder, the oldest first.

    Raises:
        ConfigError: the record is damaged.
    """
    path = folder / CONSENTS
    try:
        value = loads_checked(read_regular(path))
    except (FileNotFoundError, NotADirectoryError):
        return ()
    if value is None or value.get("schema") != _SCHEMA:
        raise ConfigError(
            f"{path}: damaged; restore it from a backup, or run in a new folder with --out"
        )
    return tuple(Consent(**consent) for consent in value["consents"])
