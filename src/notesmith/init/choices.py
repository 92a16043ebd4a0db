"""The choices of a first recipe, each with its reason and the number behind it: pure functions.

The numbers that they rest on were measured on three corpora (docs/results.md); where nothing was
measured the reason says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from notesmith.forecast.resources import Resources
from notesmith.init.profile import Seen
from notesmith.lm.presets import OFFLINE_DEFAULT, OFFLINE_GEMMA, PRESETS, Preset
from notesmith.segments import Unit

GIB = 2**30
# Activations, batches and libraries beside the weights.
_BESIDE_GIB = 2.0
# On a processor a larger model takes a night for what the small one does in an hour.
_MOST_ON_A_PROCESSOR = 600
MANY_LABELS = 10
# Of the default model, for marks: one a label, and one that closes.
_SPARE_TOKENS = 14
_PLAIN_TAGS = (
    "more than it has spare tokens for, so marks are plain tags, which sampling cannot keep in "
    "legal places; Gemma has 64 spare tokens"
)
_FEWEST_WORDS = 6
# Sentences of an abstract (477 in 50); of documents that are sentences; and of long reports.
_SENTENCES_OF_NOTE, _SENTENCES_OF_SENTENCE, _SENTENCES_OF_LONG = 9.5, 2.0, 40.0
# A draw of fewer documents is too much a matter of luck, however long they are.
_FEWEST_GOLD = 5
_STEPS, _BATCH, _PASSES = 300, 24, 6
REPLICATES = 10
# Fewer than these make no claim, and cross-fit takes what there is time for.
LEAST_REPLICATES = 5
FEWER_REPLICATES = (10, 5, 3, 2, 1)

Protocol = Literal["hold-out"]


@dataclass(frozen=True, slots=True)
class Draws:
    """Gold documents of a draw, and how many draws there are."""

    size: int
    n: int


@dataclass(frozen=True, slots=True)
class Choice:
    """A value and why it was chosen; ``more`` are lines to stand below it as comments."""

    value: Any
    why: str
    more: tuple[str, ...] = ()


def choose_protocol(n_documents: int) -> Choice:
    """How documents become train and test where no test set is given.

    Hold-out. Cross-fit, where each note is scored by models that never saw it, needs a generator a
    fold: the recipe says that it is there, and the user chooses.
    """
    protocol: Protocol = "hold-out"
    return Choice(
        protocol,
        "a part of the notes is kept for the test and nothing learns from it; init --cross-fit "
        "keeps none and scores every note, with a generator for each fold",
    )


def test_ratio(n_documents: int) -> float:
    """Share of the documents kept for the test: a small test set shows nothing."""
    return 0.4 if n_documents < 200 else 0.3


def choose_unit(seen: Seen) -> Choice:
    """What the generator writes at a time."""
    words, mentions = seen.words_per_sentence, seen.mentions_per_sentence
    measured = f"{words:.0f} words and {mentions:.1f} mentions a sentence"
    unit: Unit = "sentence"
    if words >= _FEWEST_WORDS:
        return Choice(unit, f"{measured}: enough for a sentence to stand alone")
    if seen.headed >= 0.5 and seen.section_words <= 60:
        unit = "section"
        return Choice(
            unit,
            f"{measured}: too short to stand alone; {seen.headed:.0%} of the notes have headings, "
            f"with {seen.section_words:.0f} words below each",
        )
    unit = "passage"
    return Choice(unit, f"{measured}: too short to stand alone, so three go together")


def choose_kind(seen: Seen, given: str = "") -> Choice:
    """What the generator is told it writes: the user's word, or the kind of most notes if any."""
    why = "what the generator is told it writes; your own word for the notes"
    if given:
        return Choice(given, why)
    kinds, n = seen.counts.kinds, seen.counts.n_documents
    most = next(iter(kinds), "")  # the kind of the most documents stands first
    if most and 2 * kinds[most] > n:
        return Choice(most, why)
    why = (
        "left out, as "
        + ("no kind is that of most notes" if most else "nothing in the files tells it")
        + ": what the generator is told it writes, your own word for the notes"
    )
    return Choice("", why, ('kind = "discharge summary"  # for example; take the first # away',))


def fits(preset: Preset, machine: Resources) -> Literal["full", "lora", ""]:
    """Whether a model can be tuned here, wholly or by LoRA."""
    have = 0.8 * machine.model_memory / GIB - _BESIDE_GIB
    if not machine.gpu and preset.n_parameters > _MOST_ON_A_PROCESSOR:
        return ""
    if preset.gib_to_train <= have:
        return "full"
    return "lora" if preset.gib_to_train_lora <= have else ""


def choose_lm(machine: Resources, *, hub: bool, n_labels: int = 1) -> Choice:
    """The language model by memory and licence; the offline one unless ``hub`` allows others."""
    able = [p for p in PRESETS.values() if p.hub_id and fits(p, machine)]
    more = tuple(
        f'model = "{p.name}"  # {p.licence}, {p.n_parameters / 1000:.1f}B parameters, '
        + (
            f"{p.gib_to_train + _BESIDE_GIB:.0f} GiB"
            if fits(p, machine) == "full"
            else f"{p.gib_to_train_lora + _BESIDE_GIB:.0f} GiB with sft.lora_rank = 16"
        )
        + (", gated" if p.gated else "")
        + "; fetched from the hub: needs hub = true"
        for p in able
    )
    place = machine.gpu or "no GPU"
    have = f"{machine.model_memory / GIB:.0f} GiB, {place}"
    open_ones = [p for p in able if p.terms is None]
    if hub and open_ones:
        best = max(open_ones, key=lambda p: p.n_parameters)
        return Choice(
            best.name,
            f"the largest of an open licence ({best.licence}) that {have} can tune; it is fetched "
            "from the hub and was not measured by this project",
            more,
        )
    default, gemma = PRESETS[OFFLINE_DEFAULT], PRESETS[OFFLINE_GEMMA]
    line = (
        f'model = "{gemma.name}"  # {gemma.n_parameters}M parameters; '
        "Gemma's terms of use go with it and its text"
    )
    return Choice(
        default.name,
        f"{default.n_parameters}M parameters, about 8 GiB to tune; comes as a package, so nothing "
        f"is fetched. Its licence ({default.licence}) puts no terms of use on what it writes"
        + (f". {plural(n_labels)}: {_PLAIN_TAGS}" if n_labels >= _SPARE_TOKENS else "")
        + (f". With {have} those below would do too; --hub chooses among them" if more else ""),
        (line, *more),
    )


def choose_lora(name: str, machine: Resources) -> Choice | None:
    """LoRA where the whole model cannot be tuned."""
    preset = PRESETS[name]
    if preset.hub_id is None or fits(preset, machine) != "lora":
        return None
    whole, part = preset.gib_to_train, preset.gib_to_train_lora
    return Choice(16, f"tuning all weights takes {whole:.0f} GiB, LoRA {part:.0f}")


def choose_encoder(seen: Seen) -> Choice:
    """The student's encoder."""
    why = "22M parameters, Apache-2.0, comes as a package; all figures of this project are its"
    if seen.language not in ("", "English"):
        why += (
            f". It read English, and these notes look {seen.language}: name a folder with an "
            "encoder of that language"
        )
    more = ('encoder = "bioclinical-modernbert"  # or biomedbert, biobert: fetched, hub = true',)
    return Choice("minilm", why, more)


def choose_steps(n_units: int, size: int) -> Choice:
    """Optimizer steps of the student, the same for all arms."""
    steps = max(_STEPS, round(n_units * _PASSES / _BATCH / 10) * 10)
    if steps == _STEPS:
        return Choice(steps, "what was tuned on 50 abstracts (477 sentences)")
    return Choice(
        steps,
        f"{_PASSES} passes over about {n_units:,} sentences of {size} documents; 300 at least",
    )


def scale_of(seen: Seen) -> float:
    """How many documents make the work of one abstract or note of usual length.

    1 unless documents are sentences, or so long that each is as much as several notes.
    """
    sentences = seen.counts.n_sentences / max(1, seen.counts.n_documents)
    usual = _SENTENCES_OF_SENTENCE < sentences < _SENTENCES_OF_LONG
    return 1.0 if usual else _SENTENCES_OF_NOTE / max(sentences, 1.0)


def candidate_sizes(n_train: int, scale: float = 1.0) -> tuple[int, ...]:
    """Gold documents of a draw, the one wanted most first: three quarters of what there is.

    A draw of all would be the same in every replicate. The others are 200, 100, 50 and 25 notes, or
    as many documents as are the same work by ``scale``.
    """
    most = max(1, n_train * 3 // 4)
    wanted = (max(_FEWEST_GOLD, _rounded(n * scale)) for n in (200, 100, 50, 25))
    return tuple(dict.fromkeys((most, *(size for size in wanted if size < most))))


def _rounded(value: float) -> int:
    """To two digits."""
    return int(float(f"{value:.2g}"))


def curve_of(size: int, n_train: int) -> tuple[int, ...]:
    """Further sizes for gold: half as many, and twice where there are."""
    return tuple(
        n for n in dict.fromkeys((size // 2, min(2 * size, n_train))) if n >= 2 and n != size
    )


def why_curve(size: int, n_train: int) -> str:
    """The reason of the curve's sizes."""
    if size == n_train:
        return (
            "gold alone is trained on half as many too: how much more notes still bring. What a "
            "gain is worth in notes takes more of them than a draw holds"
        )
    return "sizes at which gold alone is trained: what a gain is worth in labelled notes"


def tries(n_train: int, scale: float = 1.0) -> tuple[Draws, ...]:
    """Draws to try until they fit into the hours: the most notes first, then fewer draws."""
    sizes = candidate_sizes(n_train, scale)
    return (*(Draws(size, REPLICATES) for size in sizes), Draws(sizes[-1], LEAST_REPLICATES))


def cross_fit_tries(n_train: int) -> tuple[Draws, ...]:
    """The same for cross-fit, which divides all notes anew as often as there is time for."""
    return tuple(Draws(n_train, n) for n in FEWER_REPLICATES)


def why_size(size: int, n_train: int, n_draws: int, hours: float, *, fits: bool) -> str:
    """The reason of a draw's size."""
    if not fits:
        return f"of {n_train}: fewer teach a generator too little"
    if size == candidate_sizes(n_train)[0]:
        return (
            f"three quarters of the {n_train} of train, so that draws differ; each draw's students "
            "are scored on what it leaves out, too"
        )
    return f"of {n_train}: the most that {n_draws} draws do in about {in_hours(hours)} here"


def in_time(seconds: float | None, hours: float) -> bool:
    """Whether a run ends within ``hours``; one of unknown length is taken to."""
    return seconds is None or seconds <= 3600 * hours


def in_hours(hours: float) -> str:
    """Hours in words."""
    return f"{hours:g} hour" + ("" if hours == 1 else "s")


def plural(n_labels: int) -> str:
    """Labels, counted."""
    return f"{n_labels} label" if n_labels == 1 else f"{n_labels} labels"


def tuning(n_labels: int) -> dict[str, Choice]:
    """Settings of fine-tuning and names by the number of labels."""
    many = n_labels >= MANY_LABELS
    proposals = max(24, 600 // max(1, n_labels))
    return {
        "epochs": Choice(1.0, "one pass: in a second Gemma 3 270M over-fitted"),
        "replaced_copies": Choice(
            0 if many else 1,
            f"{n_labels} labels: mentions belong to their sentences"
            if many
            else "teaches it to copy the names that it is asked for",
        ),
        "mark_words": Choice(
            many,
            f"{n_labels} labels: each mark begins as the words of its label"
            if many
            else f"{plural(n_labels)}: a few hundred steps tell the marks apart",
        ),
        "units_per_gold": Choice(
            1.5 if many else 2.7, "texts asked for, by gold unit; a half to two thirds are kept"
        ),
        "proposals": Choice(
            proposals, "new names proposed for a label, before the surest are kept"
        ),
    }
