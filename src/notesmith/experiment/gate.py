"""The gate: keeps the seal's file, asks the register, and hands out what is scored.

Labels of test, of train documents outside a draw, and of cross-fit's folds are given to ``score``
and ``coverage`` alone, and only under the plan that was written down before.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from notesmith.config.recipe import RecipeConfig
from notesmith.corpus.parts import scored_in_train
from notesmith.corpus.reading import check_named
from notesmith.document import Document
from notesmith.errors import ConfigError, SealError
from notesmith.evaluate import seal as sealing
from notesmith.evaluate.seal import Plan, Seal, listed
from notesmith.experiment.folder import SEAL
from notesmith.experiment.recipes import DEMO, candidate_of, corpus_path
from notesmith.experiment.register import Earlier, Register
from notesmith.experiment.stages.common import read_parts
from notesmith.experiment.stages.gold import out_of_draw_seed, sampled
from notesmith.files.checksums import dumps_checked, hash_path, loads_checked
from notesmith.files.write import atomic_write_text, read_regular
from notesmith.findings import OUT_OF_DRAW, OUT_OF_FOLD
from notesmith.home import home
from notesmith.results import SealFacts

_SEALED = frozenset({"test", OUT_OF_FOLD, OUT_OF_DRAW})

UNSEEN = (
    "Openings are counted in this run folder and in the register of one user's home: a look at "
    "the labels by hand, on another machine or in another home, or one that a removed register "
    "had counted, is not seen."
)

Told = Callable[[str], None]


class Gate:
    """The seal of one run folder, and the documents that it guards."""

    def __init__(
        self,
        folder: Path,
        config: RecipeConfig,
        paths: Mapping[str, Path],
        *,
        another: str = "",
        is_preview: bool = False,
    ) -> None:
        """Guard the documents at ``paths``.

        Args:
            folder: the run folder.
            config: the recipe.
            paths: of its documents, by split.
            another: reason to open them once more.
            is_preview: nothing can be learnt from its scores, so they are no look.
        """
        self.path = folder / SEAL
        self.paths = paths
        self._config = config
        self._another = another.strip()
        self._plan = sealed_plan(config, paths) if config.evaluate.split == "test" else None
        # The packaged notes are there to be tried: what is done with them is no look either.
        is_demo = (config.corpus.test or config.corpus.train).startswith(DEMO)
        self._register = None if is_demo or is_preview else Register(home() / "openings")
        self._documents: dict[str, frozenset[str]] = {}
        self._left_out: list[str] = []
        self._seal: Seal | None = None

    def check(self) -> Earlier:
        """What was opened before of what the plan opens, in other run folders.

        Raises:
            SealError: the labels were opened for another plan, here or in another run folder, and
                there is no reason to do so again; or the plan has other draws than it may have.
            CorpusError: nothing is left of a part without what stands in another.
            ConfigError: the recipe names a label that no document has.
        """
        parts = read_parts(self.paths, self._config.corpus)
        check_named(self._config.corpus, parts.reads.values())
        self._left_out = parts.apart.sentences
        if self._config.evaluate.protocol == "cross-fit":
            self._left_out += scored_in_train(parts.docs["train"])
        if self._plan is None:
            return Earlier()
        before = read_seal(self.path.parent)
        if before is not None:
            was = _filled(_as_sealed(self._config, before), before)
            if not sealing.changes(was, self._plan):
                self._plan = before.plan
            if before.is_open and before.plan == self._plan and self._knows(before):
                return Earlier()
        self._seal = self._to_keep(before, self._plan)
        texts = self._texts(parts.docs)
        if self._register is None:
            return Earlier()
        self._documents = {part: self._register.marks(found) for part, found in texts.items()}
        earlier = self._register.earlier(self._documents, self._plan.hash, before)
        if earlier.others and not earlier.repeats and not self._another:
            raise SealError(
                f"{_of_others(earlier)}: make choices on dev (evaluate.split=dev), or record "
                "another opening with its reason (--another-opening)"
            )
        sealing.check_draws(self._plan, (entry.draws for entry in earlier.others))
        return earlier

    def _to_keep(self, before: Seal | None, plan: Plan) -> Seal:
        if before is None or not self._another:
            registered = self._register is not None
            run = secrets.token_hex(8)
            return sealing.write_down(plan, before, run=run, registered=registered)
        # The plan takes the place of the sealed one when it opens the labels, not before.
        sealing.open_seal(before, plan, when=_now(), another=True, reason=self._another)
        return before

    def write_down(self, tell: Told) -> None:
        """Seal before any work, and tell what is left out and what was opened before."""
        earlier = self.check()
        for sentence in self._left_out:
            tell(sentence)
        if earlier.repeats:
            tell(
                "this very plan has opened the test set before, in another run folder: a "
                "repetition, which is no other look"
            )
        elif earlier.others:
            tell(f"{_of_others(earlier)}; opening them again is counted")
        if self._seal is not None:
            self._keep(self._seal)

    def open(self, split: str) -> Path:
        """The path of ``split``; opening what is sealed is recorded, in the register first."""
        if split in _SEALED:
            seal = read_seal(self.path.parent)
            if self._plan is None or seal is None:
                raise SealError("the test set is sealed: evaluate.split is not 'test'")
            opened = sealing.open_seal(
                seal,
                self._plan,
                when=_now(),
                another=bool(self._another),
                reason=self._another,
            )
            if self._register is not None and self._documents:
                self._register.add(opened, self._documents, when=_now())
            if opened != seal:
                self._keep(opened)
        return self.paths["train" if split in (OUT_OF_FOLD, OUT_OF_DRAW) else split]

    def _knows(self, seal: Seal) -> bool:
        found = self._register
        return found is None or found.find(seal.run, seal.plan.hash) is not None

    def _texts(self, docs: Mapping[str, Sequence[Document]]) -> dict[str, list[str]]:
        """Texts of all documents whose labels the plan opens, by what they are scored as."""
        train, draws = docs["train"], self._config.draws
        if self._config.evaluate.protocol == "cross-fit":
            return {"train": [doc.text for doc in train]}
        test = docs["test"]
        found = {"test": [doc.text for doc in test[: draws.test_documents or None]]}
        places = sampled(len(train), draws.out_of_draw_documents, seed=out_of_draw_seed(draws.seed))
        return found | ({OUT_OF_DRAW: [train[i].text for i in places]} if places else {})

    def _keep(self, seal: Seal) -> None:
        atomic_write_text(self.path, dumps_checked(seal.to_json()))


def sealed_plan(config: RecipeConfig, paths: Mapping[str, Path]) -> Plan:
    """What is written down before a label is opened: all that touches a score or what it means."""
    scored = "train" if config.evaluate.protocol == "cross-fit" else "test"
    if scored not in paths:
        raise ConfigError("corpus.test is missing: give it with --set corpus.test=PATH")
    documents = {split: hash_path(path) for split, path in sorted(paths.items())}
    if config.corpus.tasks is not None:
        documents["tasks"] = hash_path(corpus_path(config.corpus.tasks))
    return Plan(_sealed_values(config), documents)


def _sealed_values(config: RecipeConfig) -> dict[str, Any]:
    """The recipe's values that are sealed, with the candidate by name.

    Minutes a note turn worth into hours and touch no score; where documents are says nothing of
    what is in them, and the way by which a model came here, or where it is served, nothing of the
    model.
    """
    free = {"minutes_per_note"} | ({"folds"} if config.evaluate.protocol == "held-out" else set())
    values = config.model_dump(
        mode="json",
        exclude={
            "name": True,
            "hub": True,
            "corpus": {"train", "dev", "test", "tasks", "unlabelled"},
            "adapt": {"notes"},
            "sample": {"server"},
            "evaluate": free,
        },
    )
    values["evaluate"]["candidate"] = candidate_of(config) or ""
    return values


@dataclass(frozen=True, slots=True)
class Sealed:
    """The recipe of a run folder as it was sealed, and the names of what was edited since.

    ``seal`` is None where nothing was opened; the recipe is then that of the folder.
    """

    config: RecipeConfig
    seal: Seal | None = None
    changed: tuple[str, ...] = ()

    @property
    def replicates(self) -> dict[int, int] | None:
        """Draws that were sealed, by size."""
        if self.seal is None:
            return None
        return {int(size): n for size, n in self.seal.plan.draws.replicates.items()}


def sealed_recipe(config: RecipeConfig, folder: Path, paths: Mapping[str, Path]) -> Sealed:
    """What was sealed in ``folder``, whose recipe is ``config`` now; paths and name stay."""
    seal = read_seal(folder) if config.evaluate.split == "test" else None
    if seal is None or not seal.is_open:
        return Sealed(config)
    found = _as_sealed(config, seal)
    return Sealed(found, seal, sealing.changes(_filled(found, seal), sealed_plan(config, paths)))


def _filled(found: RecipeConfig, seal: Seal) -> Plan:
    """The sealed plan with defaults for what is newer than it."""
    return Plan(_sealed_values(found), seal.plan.documents)


def _as_sealed(config: RecipeConfig, seal: Seal) -> RecipeConfig:
    sealed = seal.plan.recipe
    paths = {"train", "dev", "test", "tasks", "unlabelled"}
    named = config.corpus.model_dump(mode="json", include=paths)
    free = {"minutes_per_note": config.evaluate.minutes_per_note}
    server = config.sample.server if sealed["sample"].get("server_model") else None
    values = {
        **sealed,
        "name": config.name,
        "corpus": {**sealed["corpus"], **named},
        "adapt": {**sealed.get("adapt", {}), "notes": config.adapt.notes},
        "sample": {**sealed["sample"], "server": server},
        "evaluate": {**sealed["evaluate"], **free},
    }
    try:
        return RecipeConfig.model_validate(values)
    except ValueError:
        raise SealError(
            "the seal's recipe is none that this version of notesmith reads; use the version that "
            "ran it, or run in a new folder with --out"
        ) from None


def read_seal(folder: Path) -> Seal | None:
    """The seal of a run folder, if it has one.

    Raises:
        SealError: the file is damaged.
    """
    path = folder / SEAL
    try:
        value = loads_checked(read_regular(path))
    except (FileNotFoundError, NotADirectoryError):
        return None
    said = "the seal was changed or is damaged"
    if value is not None:
        try:
            return Seal.from_json(value)
        except SealError as error:
            said = str(error)
    raise SealError(
        f"{path}: {said}; restore it from a backup, or run in a new folder with --out"
    ) from None


def seal_facts(sealed: Sealed) -> SealFacts | None:
    """What results say of the seal: ``opened`` counts plans, here and in other run folders before.

    None where nothing was opened.
    """
    if (seal := sealed.seal) is None:
        return None
    register, earlier = Register(home() / "openings"), Earlier()
    own = register.find(seal.run, seal.plan.hash) if seal.registered else None
    if own is not None:
        earlier = register.earlier(own.documents, seal.plan.hash, seal)
    known = own is not None or not seal.registered
    return SealFacts(
        hash=seal.plan.hash,
        opened=seal.opened + earlier.n_plans,
        elsewhere=earlier.n_plans,
        repeated=len({entry.run for entry in earlier.repeats}),
        changed=sealed.changed,
        notable=tuple(_notable(earlier, sealed.changed, known=known)),
        unseen=UNSEEN,
    )


def _notable(earlier: Earlier, changed: Sequence[str], *, known: bool) -> Iterator[str]:
    """Sentences that stand before the figures: of what is out of order with the seal."""
    if changed:
        yield (
            f"The recipe was edited after it was sealed ({listed(changed)}): figures and verdict "
            "keep to what was sealed, and what was edited was not named before."
        )
    if earlier.others:
        found = _of_others(earlier)
        yield f"{found[0].upper()}{found[1:]}."
    if not known:
        yield (
            "The register of this home does not know of this run, so openings of its test set in "
            "other run folders were not counted."
        )


def _of_others(earlier: Earlier) -> str:
    n = earlier.n_plans
    plans = "another plan" if n == 1 else f"{n} other plans"
    last = max(entry.when for entry in earlier.others)[:10]
    return (
        f"{' and '.join(earlier.shares)} were opened before for {plans} in other run folders, "
        f"last on {last}"
    )


def _now() -> str:
    return datetime.now(tz=UTC).isoformat(timespec="seconds")
