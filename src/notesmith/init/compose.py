"""Put the choices together: a recipe that fits the corpus, the machine and the hours there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from notesmith.config.recipe import RecipeConfig
from notesmith.document import Document, attribute_name
from notesmith.experiment.cost import CorpusStats, TrainStats
from notesmith.experiment.draw import Fingerprints
from notesmith.experiment.plan import make_plan
from notesmith.experiment.recipes import recipe_of
from notesmith.experiment.stages import filtered, rivals, silver
from notesmith.experiment.stages.notes import UNLABELLED
from notesmith.forecast.corpus_stats import held_out_stats, split_stats, train_stats
from notesmith.forecast.resources import Resources
from notesmith.forecast.speeds import Speeds, reference_speeds
from notesmith.forecast.workload import total_seconds
from notesmith.init import choices, text
from notesmith.init.choices import Choice
from notesmith.init.profile import Seen
from notesmith.init.text import Line
from notesmith.lm.presets import PRESETS

# The sources that are proposed.
TEXT, REPLACED = filtered.SOURCE.name, rivals.REPLACED_SOURCE.name
SILVER = silver.SOURCE.name
ARMS: tuple[tuple[dict[str, Any], str], ...] = (
    ({"name": "gold"}, "Your labels alone: what all else is compared with."),
    (
        {"name": "replacement", "made": [REPLACED]},
        "Mentions exchanged among your notes: costs nothing, and is the rival to beat.",
    ),
    (
        {"name": "synthetic + replacement", "made": [TEXT, REPLACED]},
        "That, and text of the tuned model that passed the filters. More arms cost as much as more "
        "draws, and tell less.",
    ),
)
REWARDED: tuple[tuple[dict[str, Any], str], ...] = (
    (
        {
            "name": "sft+rl + replacement",
            "made": [TEXT, REPLACED],
            "rl": {"method": "grpo"},
        },
        "The model learns from rewards after fine-tuning. On NCBI Disease, two draws, it wrote as "
        "asked and helped the student no more than filtered text.",
    ),
)
CANDIDATE = "synthetic + replacement"

# Where there are notes without labels. No language model is needed.
NOTES_CANDIDATE = "silver, soft"
NOTES_ARMS: tuple[tuple[dict[str, Any], str], ...] = (
    ARMS[0],
    (
        {"name": "gold, votes", "votes": 5},
        "Five students of your labels answer as one: the last rival of the verdict, and the "
        "teachers of the last arm.",
    ),
    ARMS[1],
    (
        {"name": NOTES_CANDIDATE, "made": [SILVER]},
        "One student learns your labels, and on the notes without labels what the five think of "
        "each word (soft labels).",
    ),
)

# How a recipe of init begins; --force overwrites no other file.
MADE_BY = "Made by notesmith init"


@dataclass(frozen=True, slots=True)
class Composed:
    """A recipe as values and as text; ``seconds`` is None where no figures are known."""

    config: RecipeConfig
    text: str
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Given:
    """What the user gave, as the recipe will name it, and why; ``how`` reads the files.

    ``kind`` is empty where the user gave none. ``notes`` are those without labels, where there are
    some; ``paths`` names them too.
    """

    name: str
    paths: Mapping[str, str]
    why_paths: str
    how: Mapping[str, Any]
    source: str
    kind: str = ""
    notes: Sequence[Document] = ()


def compose(
    seen: Seen,
    docs: Mapping[str, Sequence[Document]],
    given: Given,
    machine: Resources,
    *,
    hub: bool,
    hours: float,
    cross_fit: bool = False,
    speeds: Speeds | None = None,
) -> Composed:
    """Choose, and write the recipe.

    Args:
        seen: the whole corpus.
        docs: documents by split, ``train`` and ``test`` at least; ``train`` alone in cross-fit.
        given: names and paths.
        machine: where it will run.
        hub: whether a model may be named that has to be fetched.
        hours: how long a run may take; decides the size of a draw (in cross-fit the number of
            replicates) and whether rewards are tried.
        cross_fit: score every document by models that never saw its fold.
        speeds: of this machine, where they are known.
    """
    n_train = len(docs["train"])
    lm = choices.choose_lm(machine, hub=hub, n_labels=len(seen.labels))
    parts = _Parts(seen, given, machine, lm, cross_fit)
    tries = (
        choices.cross_fit_tries(n_train)
        if cross_fit
        else choices.tries(n_train, choices.scale_of(seen))
    )
    # How train is cut is the same for all sizes, and takes long where it is large.
    of_train = train_stats(docs["train"], parts.config(n_train, n_train, 1, rewarded=False))
    for draws in tries:
        size, n_replicates = draws.size, draws.n
        config = parts.config(size, n_train, n_replicates, rewarded=False)
        seconds = _estimate(config, docs, given.notes, of_train, machine, speeds)
        if choices.in_time(seconds, hours):
            break
    if given.notes:
        return Composed(config, parts.text(config, size, n_train, hours, seconds, None), seconds)
    with_rewards = parts.config(size, n_train, n_replicates, rewarded=True)
    longer = _estimate(with_rewards, docs, (), of_train, machine, speeds)
    rewarded = bool(machine.gpu) if longer is None else longer <= 3600 * hours
    if rewarded:
        config, seconds = with_rewards, longer
    written = parts.text(config, size, n_train, hours, seconds, longer if not rewarded else None)
    return Composed(config, written, seconds)


def _estimate(
    config: RecipeConfig,
    docs: Mapping[str, Sequence[Document]],
    notes: Sequence[Document],
    of_train: TrainStats,
    machine: Resources,
    speeds: Speeds | None,
) -> float | None:
    # Nothing was measured on a GPU, so figures of processors would mislead.
    if speeds is None:
        speeds = Speeds() if machine.gpu else reference_speeds(config)
    held_out = held_out_stats(docs, config)
    if notes:
        held_out = {**held_out, UNLABELLED: split_stats(notes)}
    plan = make_plan(
        config,
        Fingerprints(
            train="train",
            dev="dev" if "dev" in docs else "",
            test="test",
            unlabelled=UNLABELLED if notes else "",
        ),
    )
    return total_seconds(plan.cells, CorpusStats(of_train, held_out), speeds)


class _Parts:
    """The recipe's tables; values and text are made from the same choices."""

    def __init__(
        self, seen: Seen, given: Given, machine: Resources, lm: Choice, cross_fit: bool
    ) -> None:
        self.seen, self.given, self.machine, self.lm = seen, given, machine, lm
        self.cross_fit = cross_fit
        self.unit = choices.choose_unit(seen)
        self.encoder = choices.choose_encoder(seen)
        self.lora = choices.choose_lora(lm.value, machine)
        self.tuning = choices.tuning(len(seen.labels))
        self.kind = choices.choose_kind(seen, given.kind)
        self.max_new_tokens = 256 if self.unit.value == "sentence" else 320
        self.candidate = NOTES_CANDIDATE if given.notes else CANDIDATE

    def steps(self, size: int) -> Choice:
        n_units = round(self.seen.counts.n_sentences * size / max(1, self.seen.counts.n_documents))
        return choices.choose_steps(n_units, size)

    def config(self, size: int, n_train: int, n_replicates: int, *, rewarded: bool) -> RecipeConfig:
        shared = {
            "name": self.given.name,
            "corpus": {**self.given.paths, **self.given.how, "kind": self.kind.value},
            "draws": {
                "sizes": [size],
                "replicates": n_replicates,
                "curve": choices.curve_of(size, n_train),
            },
            "ner": {"encoder": self.encoder.value, "steps": self.steps(size).value},
            "evaluate": {
                **({"protocol": "cross-fit", "folds": 5} if self.cross_fit else {}),
                "comparator": "gold",
                "candidate": self.candidate,
                "against": {self.candidate: "replacement"},
            },
        }
        if self.given.notes:
            arms = [values for values, _ in NOTES_ARMS]
            return recipe_of({**shared, "arm": arms}, self.given.name)
        tuning = {name: choice.value for name, choice in self.tuning.items()}
        sft = {name: tuning[name] for name in ("epochs", "replaced_copies", "mark_words")}
        if self.lora:
            sft |= {"lora_rank": self.lora.value, "learning_rate": 2e-4}
        return recipe_of(
            {
                **shared,
                "hub": PRESETS[self.lm.value].hub_id is not None,
                "lm": {"model": self.lm.value},
                "sft": {"unit": self.unit.value, **sft},
                "synthesize": {
                    "units_per_gold": tuning["units_per_gold"],
                    "names": {
                        "proposals": tuning["proposals"],
                        "keep_ratio": 0.3,
                        "gold_ratio": 0.75,
                    },
                },
                "sample": {"max_new_tokens": self.max_new_tokens},
                "filter": {"require_requested": True},
                **({"rl": {"steps": 60, "learning_rate": 1e-5}} if rewarded else {}),
                "arm": [values for values, _ in (*ARMS, *(REWARDED if rewarded else ()))],
            },
            self.given.name,
        )

    def text(
        self,
        config: RecipeConfig,
        size: int,
        n_train: int,
        hours: float,
        seconds: float | None,
        with_rewards: float | None,
    ) -> str:
        rewarded = any(arm.rl is not None for arm in config.arm)
        blocks = [
            self._head(seconds),
            text.assign("name", self.given.name) + self._hub(config),
            self._corpus(),
            self._draws(config, size, n_train, hours, seconds),
            text.table("ner", [Line("encoder", self.encoder), Line("steps", self.steps(size))]),
            *(
                (self._no_text(),)
                if self.given.notes
                else (
                    text.table("lm", [Line("model", self.lm)]),
                    self._tuned(config),
                    self._rewards(rewarded, hours, with_rewards),
                )
            ),
            *(text.arm(arm, why) for arm, why in zip(config.arm, self._reasons(), strict=False)),
            text.comment(
                f"The verdict is about {self.candidate if self.given.notes else 'both together'} "
                "against mention replacement, fixed before "
                + ("the first score." if self.cross_fit else "the test set is opened.")
            )
            + "[evaluate]\n"
            + self._protocol(config)
            + text.assign("comparator", "gold")
            + text.assign("candidate", self.candidate)
            + text.inline("against", {self.candidate: "replacement"}),
        ]
        return "\n".join(block for block in blocks if block)

    def _reasons(self) -> tuple[str, ...]:
        arms = NOTES_ARMS if self.given.notes else (*ARMS, *REWARDED)
        return tuple(why for _, why in arms)

    def _no_text(self) -> str:
        left_out = text.comment(
            "Text of a language model is left out: it costs most of the time. init without --notes "
            "writes a recipe with it, whose arm and tables can stand here too."
        )
        before = text.comment(
            "The encoder can read the notes without labels before students learn. To see whether "
            "that helps, add a copy of an arm under another name, with this line:"
        )
        return f"{left_out}{before}# adapted = true\n"

    def _protocol(self, config: RecipeConfig) -> str:
        if not self.cross_fit:
            return ""
        why = (
            "every document is scored, by models that saw neither it nor text made from it: one "
            "generator a fold and replicate"
        )
        protocol = Choice(config.evaluate.protocol, why)
        folds = Line("folds", Choice(config.evaluate.folds, ""))
        return text.table("", [Line("protocol", protocol), folds])

    def _head(self, seconds: float | None) -> str:
        counts, machine = self.seen.counts, self.machine
        labels = choices.plural(len(self.seen.labels))
        what = (
            f"{counts.n_documents:,} documents, {counts.n_words:,} words, {counts.n_sentences:,} "
            f"sentences, {counts.n_mentions:,} mentions of {labels}: {_shown(self.seen.labels)}. "
        )
        patients = f"{counts.n_patients:,} patients are named. " if counts.n_patients else ""
        patients = patients or (
            "No patients are named: each document counts as one (--metadata, --patient-from). "
        )
        language = f"The language looks like {self.seen.language}. " if self.seen.language else ""
        nested = f"{self.seen.ceiling.sentence} " if self.seen.ceiling.is_low else ""
        relations = sum(counts.relations.values()) + sum(counts.concept_relations.values())
        related = f"{relations:,} relations: a run does not use them. " if relations else ""
        marked = ", ".join(dict.fromkeys(map(attribute_name, counts.attributes)))
        marked = f"Mentions carry {marked}: ner.attributes learns them. " if marked else ""
        bare = (
            f"{self.seen.n_unmarked} documents hold no mention: make sure that they were labelled. "
            if self.seen.n_unmarked
            else ""
        )
        where = machine.gpu or f"no GPU, {machine.memory / choices.GIB:.0f} GiB"
        time = (
            "Nothing was measured on such a GPU: notesmith plan measures."
            if seconds is None
            else f"A run takes roughly {in_words(seconds)} by figures known so far; notesmith plan "
            "measures, and says what your test set can show."
        )
        return (
            text.comment(f"{MADE_BY} from {self.given.source}.")
            + text.comment(what + patients + language)
            + (text.comment(rest) if (rest := nested + related + marked + bare) else "")
            + text.comment(f"{machine.cores} cores, {where}. {time}")
        )

    def _hub(self, config: RecipeConfig) -> str:
        if not config.hub:
            return ""
        why = f"{self.lm.value} is fetched from the model hub, once: no text leaves the machine."
        return text.comment(why) + text.assign("hub", True)

    def _corpus(self) -> str:
        how = "".join(
            text.inline(key, value) if isinstance(value, Mapping) else text.assign(key, value)
            for key, value in self.given.how.items()
        )
        return (
            text.comment(self.given.why_paths)
            + "[corpus]\n"
            + "".join(text.assign(split, path) for split, path in self.given.paths.items())
            + how
            + text.table("", [Line("kind" if self.kind.value else "", self.kind)])
            + "\n"
            + text.descriptions(self.seen.labels)
        )

    def _draws(
        self, config: RecipeConfig, size: int, n_train: int, hours: float, seconds: float | None
    ) -> str:
        n = config.draws.replicates
        fits = choices.in_time(seconds, hours)
        given = choices.in_hours(hours)
        why_size = choices.why_size(size, n_train, n, hours, fits=fits)
        if choices.scale_of(self.seen) != 1:
            per = self.seen.counts.n_sentences / max(1, self.seen.counts.n_documents)
            why_size += f". Sizes go by the work, as a document has {per:.1f} sentences"
        why_n = "a difference's noise falls with their number; fewer than five are no claim"
        if self.cross_fit:
            why_size = "all documents, divided into folds"
            many = f"as many as fit into {given}" if fits else "the fewest"
            why_n = f"times they are divided anew, {many}; {why_n}"
        if not fits:
            why_n += (
                f". All of it takes longer than the {given} given; --only arm=gold,replacement "
                "takes minutes a draw"
            )
        lines = [
            Line("sizes", Choice([size], why_size)),
            Line("replicates", Choice(n, why_n)),
        ]
        if config.draws.curve:
            why = choices.why_curve(size, n_train)
            lines.append(Line("curve", Choice(list(config.draws.curve), why)))
        return text.table("draws", lines)

    def _tuned(self, config: RecipeConfig) -> str:
        tuning = self.tuning
        sft = [Line("unit", self.unit)]
        sft += [Line(name, tuning[name]) for name in ("epochs", "replaced_copies", "mark_words")]
        if self.lora:
            rate = Choice(config.sft.learning_rate, "")
            sft += [Line("lora_rank", self.lora), Line("learning_rate", rate)]
        names = [
            Line("proposals", tuning["proposals"]),
            Line("keep_ratio", Choice(0.3, "the surest three of ten; a wrong name costs more")),
            Line("gold_ratio", Choice(0.75, "names asked for that are yours")),
        ]
        room = Choice(self.max_new_tokens, "tokens a text at most, marks included")
        whole = Choice(True, "a text without all that it was asked for is dropped")
        return "\n".join(
            (
                text.table("sft", sft),
                text.table("synthesize", [Line("units_per_gold", tuning["units_per_gold"])]),
                text.table("synthesize.names", names),
                text.table("sample", [Line("max_new_tokens", room)]),
                text.table("filter", [Line("require_requested", whole)]),
            )
        )

    def _rewards(self, rewarded: bool, hours: float, longer: float | None) -> str:
        if rewarded:
            steps = Choice(60, "steps of learning from rewards, as in the project's own screen")
            rate = Choice(1e-5, "")
            return text.table("rl", [Line("steps", steps), Line("learning_rate", rate)])
        takes = f" ({in_words(longer)} in all)" if longer is not None else ""
        given = choices.in_hours(hours)
        return text.comment(
            f"Learning from rewards is left out: it does not fit into {given}{takes}. "
            "docs/how-to/learn-from-rewards.md says how to add it; --hours allows more."
        )


def _shown(labels: Sequence[str], most: int = 12) -> str:
    shown = ", ".join(labels[:most])
    return shown if len(labels) <= most else f"{shown} and {len(labels) - most} more"


def in_words(seconds: float) -> str:
    """A time as one would say it: ``40 minutes``, ``2.2 hours``."""
    minutes = max(1, round(seconds / 60))
    return f"{minutes} minutes" if minutes < 90 else f"{minutes / 60:.1f} hours"
