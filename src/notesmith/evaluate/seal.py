"""The seal: what will be compared is written down and hashed before a label of the test is opened.

Values only; ``experiment`` keeps the file and gives the date. A plan that was written down opens
the labels once, however often the run is resumed. Another plan is an error until it is recorded,
with its reason, as another opening, which every report then counts. More draws after a look are
another plan too, and it needs other draws than those that were looked at.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from notesmith.errors import SealError

SCHEMA = 2
# A value that one plan lacks.
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Draws:
    """The draws of a plan: their seed, and how many there are by size."""

    seed: int
    replicates: dict[str, int]

    def other_number(self, before: Draws) -> str | None:
        """A size of which ``before`` had another number of the very same draws; None if none."""
        if self.seed != before.seed:
            return None
        sizes = [n for n in self.replicates if n in before.replicates]
        return next((n for n in sizes if self.replicates[n] != before.replicates[n]), None)


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be compared.

    ``recipe`` holds every resolved value that touches a score or what is said of it, the candidate
    by name and the number of draws included; ``documents`` the content hashes of train, dev and
    test, empty where a recipe has none.
    """

    recipe: Mapping[str, Any]
    documents: Mapping[str, str]

    @property
    def hash(self) -> str:
        """SHA-256 of the plan; the order of arms is no part of it."""
        arms = sorted(self.recipe["arm"], key=lambda arm: str(arm["name"]))
        value = {"recipe": {**self.recipe, "arm": arms}, "documents": dict(self.documents)}
        canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def draws(self) -> Draws:
        """Its draws, those of the learning curve included."""
        draws = self.recipe["draws"]
        sizes = dict.fromkeys(str(n) for n in (*draws["sizes"], *draws["curve"]))
        own = draws["replicates_by_size"]
        return Draws(draws["seed"], {n: int(own.get(n, draws["replicates"])) for n in sizes})


@dataclass(frozen=True, slots=True)
class Opening:
    """One plan for which the labels were opened, when, its draws, and why if it was not the first.

    ``when`` is an ISO date.
    """

    plan_hash: str
    when: str
    draws: Draws
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Seal:
    """The plan written down, and the openings so far.

    ``run`` is a random name of the run, by which a register of all runs knows it; ``registered`` is
    False where what is opened is no look that counts.
    """

    plan: Plan
    run: str
    openings: tuple[Opening, ...] = field(default=())
    registered: bool = True

    @property
    def opened(self) -> int:
        """How many plans the labels were opened for, in this run folder."""
        return len(self.openings)

    @property
    def is_open(self) -> bool:
        """Whether they were opened for the plan that is written down."""
        return any(opening.plan_hash == self.plan.hash for opening in self.openings)

    def to_json(self) -> dict[str, Any]:
        """A JSON value that holds the plan's hash too, so that a change by hand is noticed."""
        return {
            "schema": SCHEMA,
            "plan": asdict(self.plan),
            "hash": self.plan.hash,
            "run": self.run,
            "registered": self.registered,
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
                raise SealError(
                    f"the seal has schema {value['schema']!r}, not {SCHEMA}: another version of "
                    "notesmith wrote it"
                )
            plan = Plan(**value["plan"])
            openings = tuple(
                Opening(**{**opening, "draws": Draws(**opening["draws"])})
                for opening in value["openings"]
            )
            changed = plan.hash != value["hash"]
            seal = cls(plan, str(value["run"]), openings, bool(value["registered"]))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            if isinstance(error, SealError):
                raise
            raise SealError(f"the seal is malformed ({type(error).__name__})") from error
        if changed:
            raise SealError("the seal's plan was changed after it was written down")
        return seal


def changes(sealed: Plan, plan: Plan) -> tuple[str, ...]:
    """Names of the values in which ``plan`` differs from the sealed one, such as ``ner.steps``.

    An arm that one of them lacks is ``arm.NAME``; other documents are ``documents.test`` and so on.
    """
    return tuple(_differences(_tables(sealed), _tables(plan), ""))


def _tables(plan: Plan) -> dict[str, Any]:
    arms = {str(arm["name"]): arm for arm in plan.recipe["arm"]}
    return {**plan.recipe, "arm": arms, "documents": plan.documents}


def _differences(before: Any, now: Any, place: str) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping) and before and now:
        for name in dict.fromkeys((*before, *now)):
            found = before.get(name, _ABSENT), now.get(name, _ABSENT)
            yield from _differences(*found, f"{place}.{name}" if place else name)
    elif before != now:
        yield place


def write_down(plan: Plan, seal: Seal | None = None, *, run: str, registered: bool = True) -> Seal:
    """Seal the labels under ``plan``; before anything was opened a plan may still be replaced."""
    if seal is None:
        return Seal(plan, run, registered=registered)
    if not seal.openings:
        return replace(seal, plan=plan)
    if seal.plan.hash != plan.hash:
        raise SealError(_other_plan(seal, plan))
    return seal


def open_seal(
    seal: Seal, plan: Plan, *, when: str, another: bool = False, reason: str = ""
) -> Seal:
    """Open the labels for ``plan`` and return the seal to keep.

    The plan that was written down opens them once; opening them again for the same plan (a resumed
    run) changes nothing.

    Args:
        seal: as written down.
        plan: what is about to be compared.
        when: ISO date.
        another: record another plan as a further opening.
        reason: why; needed with ``another``.

    Raises:
        SealError: ``plan`` is not the one written down and ``another`` is not set, or has no
            reason; or it has more or fewer of the draws that were looked at.
    """
    if any(opening.plan_hash == plan.hash for opening in seal.openings):
        return replace(seal, plan=plan)
    if plan.hash != seal.plan.hash:
        if not another:
            raise SealError(_other_plan(seal, plan))
        if not reason.strip():
            raise SealError("another opening of the test set needs a reason")
    check_draws(plan, (opening.draws for opening in seal.openings))
    opening = Opening(plan.hash, when, plan.draws, reason.strip())
    return replace(seal, plan=plan, openings=(*seal.openings, opening))


def check_draws(plan: Plan, before: Iterable[Draws]) -> None:
    """Make sure that ``plan`` takes none of the draws ``before`` in another number.

    Raises:
        SealError: it does: whoever adds draws until a difference shows finds one.
    """
    for draws in before:
        size = plan.draws.other_number(draws)
        if size is not None:
            raise SealError(
                f"{draws.replicates[size]} draws of {size} documents with draws.seed = "
                f"{draws.seed} were looked at, and this plan has {plan.draws.replicates[size]}: "
                "another number of draws after a look needs new draws; set draws.seed to another "
                "number"
            )


def _other_plan(seal: Seal, plan: Plan) -> str:
    times = "once" if seal.opened == 1 else f"{seal.opened} times"
    return (
        f"the test set is sealed under plan {seal.plan.hash[:12]}, opened {times}; "
        f"this plan {plan.hash[:12]} differs in {listed(changes(seal.plan, plan))}: make choices "
        "on dev, compute a part of one plan by --only, or record another opening with its reason "
        "(--another-opening)"
    )


def listed(names: Iterable[object], most: int = 6) -> str:
    """Names with commas between; of many the first, and how many more there are."""
    found = list(map(str, names))
    more = f" and {len(found) - most} more" if len(found) > most else ""
    return ", ".join(found[:most]) + more
