"""Rivals that need no language model: cheap changes to gold that every made text must beat."""

from notesmith.augmentation.replace import gold_names, replace_mentions
from notesmith.augmentation.shuffle import shuffle_labels, shuffle_segments
from notesmith.augmentation.tokens import replace_tokens

__all__ = [
    "gold_names",
    "replace_mentions",
    "replace_tokens",
    "shuffle_labels",
    "shuffle_segments",
]
