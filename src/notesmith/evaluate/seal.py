"""The sealed test set: what will be compared is written down and hashed before it is opened.

Values only; the pipeline keeps the file and gives the date. A plan that was written down opens the
set once, however often the run is resumed; another plan is an error until it is recorded, with its
reason, as another opening, which every report then counts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from notesmith.errors import SealError

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be compared on the test set.

    ``config_hash`` covers the resolved recipe, ``test_hash`` the ids of the test documents in order
    (``cells.hash_ids``). Arms are kept sorted: their order is no part of a plan.
    """

    arms: tuple[str, ...]
    comparator: str
    config_hash: str
    test_hash: str
    n_documents: int
    against: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "arms", tuple(sorted(self.arms)))
        object.__setattr__(self, "against", tuple(sorted(self.against)))

    @property
    def hash(self) -> str:
        """SHA-256 of the plan."""
        canonical = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Opening:
    """One plan for which the set was opened, when, and why if it was not the first."""

    plan_hash: str
    when: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Seal:
    """The plan written down, and the openings so far."""

    plan: Plan
    openings: tuple[Opening, ...] = field(default=())

    @property
    def opened(self) -> int:
        """How many plans the set was opened for."""
        return len(self.openings)

    def to_json(self) -> dict[str, Any]:
        """A JSON value that holds the plan's hash too, so that a change by hand is noticed."""
        return {
            "schema": SCHEMA,
            "plan": asdict(self.plan),
            "hash": self.plan.hash,
            "openings": [asdict(opening) for opening in self.openings],
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Seal:
        """The inverse of ``to_json``.

        Raises:
            SealError: the value is malformed, or its plan does not have the hash it states.
        """
        try:
            if value["schema"] != SCHEMA:
                raise SealError(f"the seal has schema {value['schema']!r}, not {SCHEMA}")
            stated = dict(value["plan"])
            stated["arms"] = tuple(stated["arms"])
            stated["against"] = tuple((arm, other) for arm, other in stated["against"])
            plan = Plan(**stated)
            openings = tuple(Opening(**opening) for opening in value["openings"])
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, SealError):
                raise
            raise SealError(f"the seal is malformed: {type(error).__name__} {error}") from error
        if plan.hash != value["hash"]:
            raise SealError("the seal's plan was changed after it was written down")
        return cls(plan, openings)


def write_down(plan: Plan, seal: Seal | None = None) -> Seal:
    """Seal the test set under ``plan``; before anything was opened a plan may still be replaced."""
    if seal is None or not seal.openings:
        return Seal(plan)
    if seal.plan.hash != plan.hash:
        raise SealError(_other_plan(seal, plan))
    return seal


def open_seal(
    seal: Seal, plan: Plan, *, when: str, another: bool = False, reason: str = ""
) -> Seal:
    """Open the test set for ``plan`` and return the seal to keep.

    The plan that was written down opens it once; opening it again for the same plan (a resumed run)
    changes nothing.

    Args:
        seal: as written down.
        plan: what is about to be compared.
        when: ISO date.
        another: record another plan as a further opening.
        reason: why; needed with ``another``.

    Raises:
        SealError: ``plan`` is not the one written down and ``another`` is not set, or has no
            reason.
    """
    if any(opening.plan_hash == plan.hash for opening in seal.openings):
        return seal if seal.plan.hash == plan.hash else replace(seal, plan=plan)
    if plan.hash != seal.plan.hash:
        if not another:
            raise SealError(_other_plan(seal, plan))
        if not reason.strip():
            raise SealError("another opening of the test set needs a reason")
    opening = Opening(plan.hash, when, reason.strip())
    return Seal(plan, (*seal.openings, opening))


def _other_plan(seal: Seal, plan: Plan) -> str:
    changed = [
        name
        for name in ("arms", "comparator", "against", "config_hash", "test_hash", "n_documents")
        if getattr(seal.plan, name) != getattr(plan, name)
    ]
    times = "once" if seal.opened == 1 else f"{seal.opened} times"
    return (
        f"the test set is sealed under plan {seal.plan.hash[:12]}, opened {times}; "
        f"this plan {plan.hash[:12]} differs in {', '.join(changed)}: make choices on dev, "
        "compute a part of one plan by --only, or record another opening with its reason "
        "(--another-opening)"
    )
