"""Which made text is kept, and the rivals that need no language model."""

from __future__ import annotations

from pydantic import Field

from notesmith.config.fields import Config, Count, Positive, Ratio


class LengthConfig(Config):
    """How long made text may be; none of another length is asked for."""

    min_words: Count = Field(default=4, description="shorter text is dropped")
    max_words: Positive = Field(default=400, description="longer text is dropped")


class FilterConfig(LengthConfig):
    """What made text is dropped for."""

    max_loop: Positive = Field(
        default=4, description="a phrase repeated this often in a row is a loop"
    )
    near_duplicate: Ratio = Field(
        default=0.8, description="Jaccard similarity of word 3-grams to drop at"
    )
    copy_ratio: Ratio = Field(
        default=0.8, description="share of 8-grams found in one gold unit to drop at"
    )
    inside_words: Ratio = Field(
        default=0.02,
        description="text with a mention that begins or ends inside a word is dropped, unless more "
        "than this share of gold's mentions do (1: never)",
    )
    match_density: bool = Field(
        default=False, description="thin text without mentions until its share is that of gold"
    )
    require_requested: bool = Field(
        default=False, description="drop text without all requested mentions and their attributes"
    )
    max_repeats: Count | None = Field(
        default=None,
        description="text that marks requested mentions more often than asked, by more than this, "
        "is dropped; no bound if not given",
    )
    keep_per_gold: float | None = Field(
        default=None, gt=0, description="texts kept at most, the first, as a multiple of gold units"
    )


class AugmentConfig(Config):
    """Rivals that need no language model."""

    copies: Positive = Field(default=3, description="changed copies of each gold unit")
    replace_ratio: Ratio = Field(default=1.0, description="share of mentions replaced")
    token_ratio: Ratio = Field(default=0.3, description="share of tokens redrawn (LwTR)")
    shuffle_ratio: Ratio = Field(default=0.5, description="share of segments shuffled")
    proposed_ratio: Ratio = Field(
        default=1.0,
        description="share of replacements drawn from proposed names, where those are used",
    )
    mined_ratio: Ratio = Field(
        default=0.5,
        description="share of replacements drawn from names mined from notes, where those are used",
    )
