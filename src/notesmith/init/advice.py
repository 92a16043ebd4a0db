"""Which of the three systems a corpus calls for, by counts: one rule, as docs/which-system.md says.

The numbers behind it were measured on three corpora (docs/explanation/when-it-helps.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from notesmith.init.choices import MANY_LABELS, plural
from notesmith.init.profile import Seen

FEW_NOTES = 100
"""Labelled notes up to which made text gained over gold alone."""

OFTEN = 4
"""Mentions a name, on average, from which a label has little variety."""

_COUNTED = 20  # Mentions of a label, below which its variety is not judged.

System = Literal["synthesize", "annotate", "augment"]
BUILT: frozenset[System] = frozenset({"synthesize", "annotate"})


@dataclass(frozen=True, slots=True)
class Advice:
    """Whether a system fits, and the counts that say so."""

    system: System
    fits: Literal["yes", "perhaps", "no"]
    why: str

    @property
    def words(self) -> str:
        """One line for the terminal."""
        later = "" if self.system in BUILT or self.fits == "no" else ", but it is not built yet"
        return f"{self.system}: {self.fits}{later}. {self.why}."


def advise(seen: Seen, n_unlabelled: int = 0) -> tuple[Advice, ...]:
    """What is said of each system: ``synthesize``, ``annotate``, ``augment``.

    Documents without a mention are taken for unlabelled where they are more than the others.
    ``n_unlabelled`` are notes without labels that were given beside them.
    """
    n_labelled = seen.counts.n_documents - seen.n_unmarked
    return (
        _synthesize(seen, n_labelled),
        _annotate(seen, n_labelled, n_unlabelled),
        _augment(seen),
    )


def _synthesize(seen: Seen, n_labelled: int) -> Advice:
    if len(seen.labels) >= MANY_LABELS:
        why = f"There are {plural(len(seen.labels))}: with one or two made text gained, with 41 not"
        return Advice("synthesize", "perhaps", why)
    if n_labelled > FEW_NOTES:
        why = (
            f"{n_labelled:,} labelled notes are not few: the gain over gold alone was about 2 F1 "
            "at 100 notes and next to nothing at 592"
        )
        return Advice("synthesize", "no", why)
    why = (
        f"{n_labelled:,} labelled notes are few: at 25 to 100 notes of one label made text gained "
        "2 to 4 F1 over gold alone, though not surely more than mention replacement"
    )
    return Advice("synthesize", "yes", why)


def _annotate(seen: Seen, n_labelled: int, n_unlabelled: int) -> Advice:
    if n_unlabelled:
        why = (
            f"{n_unlabelled:,} notes without labels stand beside {n_labelled:,} labelled ones, and "
            "hold names that those lack"
        )
        return Advice("annotate", "yes", why)
    if seen.n_unmarked > n_labelled:
        why = (
            f"{seen.n_unmarked:,} of {seen.counts.n_documents:,} documents hold no mention: if "
            "they are unlabelled, keep them out of the gold, for a student learns them as empty"
        )
        return Advice("annotate", "yes", why)
    why = (
        "Notes without labels hold names that labelled ones lack: if you have several times as "
        "many as labelled ones, give them with --notes"
    )
    return Advice("annotate", "perhaps", why)


def _augment(seen: Seen) -> Advice:
    judged = [label for label in seen.counts.labels if label.n_mentions >= _COUNTED]
    narrow = [label for label in judged if label.n_mentions >= OFTEN * label.n_distinct]
    shown = [
        f"{label.label} has {label.n_distinct:,} names in {label.n_mentions:,} mentions"
        for label in (narrow or judged)[:2]
    ]
    if 2 * sum(label.n_mentions for label in narrow) > seen.counts.n_mentions:
        why = (
            f"{' and '.join(shown)}: little variety. Until then the arm replacement exchanges "
            "mentions among your notes"
        )
        return Advice("augment", "yes", why)
    if not judged:
        return Advice("augment", "no", f"No label has the {_COUNTED} mentions to judge variety by")
    return Advice("augment", "no", f"Names vary: {' and '.join(shown)}")
