"""What encoders read before their students learnt from labels, in sentences: means over draws."""

from __future__ import annotations

from collections.abc import Sequence

from notesmith.report import words
from notesmith.results import AdaptedEncoder, Results


def adapted_sentences(results: Results, *, size: int, arm: str = "") -> list[str]:
    """A sentence for each encoder that was adapted at ``size``, or for those of ``arm`` alone."""
    groups: dict[tuple[str, ...], list[AdaptedEncoder]] = {}
    for each in results.adapted:
        if each.size == size and (not arm or arm in each.arms):
            groups.setdefault(each.arms, []).append(each)
    return [_sentence(arms, members) for arms, members in groups.items()]


def _sentence(arms: Sequence[str], members: Sequence[AdaptedEncoder]) -> str:
    n = len(members)

    def mean(name: str) -> float:
        values: list[float] = [getattr(each, name) for each in members]
        return sum(values) / n

    read = {
        f"{words.plural(mean('notes'), 'note')} without labels": mean("notes"),
        f"the texts of {words.plural(mean('gold'), 'gold document')}": mean("gold"),
        f"{words.plural(mean('file'), 'further note')}": mean("file"),
    }
    named = words.listed([f'"{arm}"' for arm in arms])
    whose = f"arm{'' if len(arms) == 1 else 's'} {named}"
    what = words.listed([said for said, number in read.items() if number])
    before, after = (words.exact(mean(name)) for name in ("loss_before", "loss_after"))
    return (
        f"Before students learnt from labels, the encoder of {whose} was trained as a masked "
        f"language model on {what}: {words.count(mean('tokens'))} word pieces, each counted as "
        f"often as it was seen. Its loss on {words.plural(mean('held_out'), 'held-out text')}"
        " was "
        f"{before} nats before and {after} after{f' (means over {n} encoders)' if n > 1 else ''}."
    )
