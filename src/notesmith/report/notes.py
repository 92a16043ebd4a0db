"""What a reader must know before trusting a report: limits and terms, in plain sentences."""

from __future__ import annotations

from dataclasses import dataclass

from notesmith.findings import OUT_OF_FOLD, Comparison
from notesmith.lm.presets import PRESETS
from notesmith.report import words
from notesmith.results import Results
from notesmith.rules import MIN_REPLICATES

TERMS_REACH = (
    "They apply to the model, to what is tuned from it and to the text it wrote, and go along when "
    "these are passed on."
)

PRIVACY_NOT_TESTED = (
    "Privacy was not tested in this run. Text written by a model that was tuned on notes can "
    "repeat them: treat it as restricted as the notes themselves."
)


@dataclass(frozen=True, slots=True)
class Term:
    """A model with the licence and terms that go with it and with what it wrote."""

    role: str
    name: str
    licence: str
    terms: str

    @property
    def link(self) -> str:
        """The terms as an address, where they are one that may be linked."""
        return self.terms if self.terms.startswith("https://") else ""


def limits(results: Results) -> list[str]:
    """The limits of a run, or of made text alone where nothing was scored."""
    return honest_notes(results) if results.arms else [*results.notices, PRIVACY_NOT_TESTED]


def honest_notes(results: Results) -> list[str]:
    """The limits of this run, most serious first."""
    found = list(results.notices)
    main = results.main
    if results.is_unfinished:
        found.append(
            f"The run is unfinished: {results.finished.scored} of {results.finished.planned} "
            "scores are in. Figures and verdict will change."
        )
    if main is not None and main.n_replicates < MIN_REPLICATES:
        found.append(
            f"The main comparison has {words.plural(main.n_replicates, 'replicate')}. Below "
            f"{MIN_REPLICATES} this is a demonstration and supports no claim."
        )
    if main is not None and main.claim == "unfinished":
        found.append(_unfinished(main))
    if results.split == OUT_OF_FOLD:
        found.append(
            "There is no test set: every document was scored by models that saw neither it nor "
            "text made from its fold. Models of different folds share most of their gold, so the "
            "interval is an approximation, and it is about models made from a part of the gold; "
            "what ships is made from all of it."
        )
    elif results.split != "test":
        found.append(
            f"Scores are from {results.split}. Choices were made on these documents, so the "
            "figures flatter; only a sealed test set can show what is left."
        )
    if results.seal and results.seal.opened > 1:
        found.append(
            f"The test set was opened {results.seal.opened} times. Any choice made after the first "
            "opening may have used what was seen."
        )
    if results.seal and results.seal.unseen:
        found.append(results.seal.unseen)
    found += _other_sizes(results)
    if main is not None and main.n_replicates == 1:
        luck = f", and the luck of its {main.n_students} students" if main.n_students > 1 else ""
        found.append(
            f"There is one draw. The interval covers the choice of documents{luck}; what another "
            "draw of gold or another generator would give is not in it."
        )
    elif results.varied:
        found.append(
            f"Replicates differ in {words.listed(results.varied)}. The intervals cover these and "
            "the choice of documents; another corpus, encoder or language model is not covered."
        )
    if main is not None and main.worth is None and main.worth_reason:
        found.append(f"No worth in notes is given: {main.worth_reason}.")
    found += _of_models(results)
    found.append(
        "Scores count exact boundaries and labels. They say nothing of clinical use, for which "
        "neither the made text nor the trained model is meant."
    )
    return found


def _of_models(results: Results) -> list[str]:
    found = []
    if results.adapted:
        found.append(
            "An adapted encoder may know by heart parts of the notes that it read, and so may the "
            "students that begin from it: guard their weights as you guard those notes."
        )
    if results.lm:
        found.append(
            "The language model was trained on public text by others and may have read a public "
            "test set. Scores on public corpora can be too high for that reason."
        )
        found.append(PRIVACY_NOT_TESTED)
    return found


def _unfinished(main: Comparison) -> str:
    if main.planned is None or main.planned == main.n_replicates:
        return "No claim is made before all scores that it waits for are in."
    return (
        f"{main.planned} draws were sealed and {main.n_replicates} are there. No claim is made "
        "from another number of draws; more draws than were sealed are a new plan."
    )


def _other_sizes(results: Results) -> list[str]:
    few = sorted(
        {
            (c.size, c.n_replicates)
            for c in results.comparisons
            if c.size != results.main_size and c.n_replicates < MIN_REPLICATES
        }
    )
    if not few:
        return []
    sizes = words.listed([str(size) for size in dict.fromkeys(size for size, _ in few)])
    return [
        f"At {sizes} gold documents there are fewer than {MIN_REPLICATES} replicates: those "
        "rows are a demonstration."
    ]


def model_terms(results: Results) -> list[Term]:
    """The models used, with licences and terms."""
    models = (
        ("language model", results.lm),
        ("language model on a server", results.served),
        ("encoder", results.encoder),
    )
    return [Term(role, m.name, m.licence or "", m.terms or "") for role, m in models if m]


def weights_of(name: str) -> str:
    """What the weights of a language model are, where its name alone does not say so."""
    preset = PRESETS.get(name)
    return preset.words if preset else ""


def terms_sentence(results: Results) -> str:
    """What the language model's terms ask to be said, where it carries any; else nothing."""
    if not results.lm or not results.lm.terms:
        return ""
    return f"{results.lm.name} comes under the terms at {results.lm.terms}. {TERMS_REACH}"
