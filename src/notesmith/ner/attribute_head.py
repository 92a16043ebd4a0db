"""The student's second head: from the mean state of a mention's words to its attributes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from notesmith.errors import ModelError
from notesmith.ner.attributes import Attribute
from notesmith.words import IGNORED

if TYPE_CHECKING:
    from notesmith.ner.batch import MentionBatch

HEAD_FILE = "attributes.safetensors"


def make_head(attributes: Sequence[Attribute], width: int) -> torch.nn.Linear:
    """One linear layer an attribute, side by side: ``width`` in, the classes of all out."""
    return torch.nn.Linear(width, sum(a.n_classes for a in attributes))


def attribute_loss(
    head: torch.nn.Linear,
    attributes: Sequence[Attribute],
    states: torch.Tensor,
    mentions: MentionBatch,
) -> torch.Tensor:
    """Cross-entropy of gold mentions: the mean over those that are known, summed over attributes.

    Args:
        head: what ``make_head`` gave.
        attributes: whose classes it has.
        states: one row a word of the batch, what the tagging head reads.
        mentions: which of the words make up gold mentions, and their classes.
    """
    n_mentions = len(mentions.classes)
    summed = states.new_zeros(n_mentions, states.shape[1]).index_add(
        0, mentions.groups, states[mentions.words]
    )
    means = summed / torch.bincount(mentions.groups, minlength=n_mentions).unsqueeze(1)
    loss = states.new_zeros(())
    parts = head(means).split([a.n_classes for a in attributes], dim=1)
    for logits, classes in zip(parts, mentions.classes.unbind(1), strict=True):
        # As in tagging: where nothing is known it is 0, not NaN.
        loss = loss + torch.nn.functional.cross_entropy(
            logits, classes, ignore_index=IGNORED, reduction="sum"
        ) / (classes != IGNORED).sum().clamp(min=1)
    return loss


def save_head(head: torch.nn.Linear, folder: Path) -> None:
    """Write ``head`` into an unfinished folder (see ``atomic_folder``)."""
    from safetensors.torch import save_file

    weights = {name: value.detach().cpu() for name, value in head.state_dict().items()}
    save_file(weights, folder / HEAD_FILE)


def load_head(attributes: Sequence[Attribute], width: int, folder: Path) -> torch.nn.Linear:
    """Read what ``save_head`` wrote.

    Raises:
        ModelError: it is not there, or is not that of ``attributes``.
    """
    from safetensors.torch import load_file

    head = make_head(attributes, width)
    try:
        head.load_state_dict(load_file(folder / HEAD_FILE))
    except Exception as error:  # Damaged weights raise a class of their own, a wrong shape another.
        raise ModelError(
            f"{folder}: {HEAD_FILE} is absent, damaged or of other attributes "
            f"({type(error).__name__})"
        ) from error
    return head.eval()
