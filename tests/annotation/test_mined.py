"""Names mined from silver: what is sure and frequent, and how much of it is right."""

from __future__ import annotations

import pytest

from notesmith.annotation.mined import Mined, MinedName, mine_names, quality_of, wilson_low
from notesmith.config import MinedConfig
from notesmith.document import Document, Entity


def silver(doc_id: str, *mentions: tuple[str, str, float | None]) -> Document:
    text, entities = "", []
    for i, (name, label, score) in enumerate(mentions):
        said = () if score is None else (f"score={score}",)
        entities.append(Entity(f"T{i}", label, ((len(text), len(text) + len(name)),), said))
        text += name + ", "
    return Document(doc_id, text, tuple(entities))


SILVER = [
    silver("1", ("Scurvy", "Disease", 0.99), ("gout", "Disease", 1.0), ("mumps", "Disease", 0.9)),
    silver("2", ("scurvy", "Disease", 0.97), ("Gout", "Disease", 1.0), ("mumps", "Disease", 1.0)),
    silver("3", ("scurvy", "Disease", 0.98), ("iron\n pill", "Drug", 0.99), ("cold", "Drug", 1.0)),
    silver("4", ("Iron pill", "Drug", 0.97), ("cold", "Drug", 1.0), ("cold", "Disease", 1.0)),
    silver("5", ("yaws", "Disease", 1.0), ("rash", "Disease", None), ("rash", "Disease", 1.0)),
]
GOLD = [silver("g", ("GOUT", "Disease", None))]


def test_names_are_mined_that_are_sure_frequent_and_new() -> None:
    mined = mine_names(SILVER, GOLD, MinedConfig())
    assert mined.names == {
        "Disease": (MinedName("scurvy", 3, pytest.approx(0.98)),),
        "Drug": (MinedName("Iron pill", 2, pytest.approx(0.98)),),
    }
    assert mined.by_label == {"Disease": ("scurvy",), "Drug": ("Iron pill",)}
    assert mined.left_out == {"in gold": 1, "too seldom": 1, "too unsure": 2, "two labels": 1}
    assert Mined.from_json(mined.to_json()) == mined


def test_bounds_are_options() -> None:
    loose = mine_names(SILVER, GOLD, MinedConfig(min_count=1, min_confidence=0.5))
    assert loose.by_label["Disease"] == ("scurvy", "mumps", "rash", "yaws")
    assert loose.left_out == {"in gold": 1, "two labels": 1}
    assert mine_names([], GOLD, MinedConfig()) == Mined()


def test_quality_is_the_share_of_names_that_are_mentions_of_their_label() -> None:
    truth = [silver("t", ("SCURVY", "Disease", None), ("iron  pill", "Disease", None))]
    found = quality_of({"Disease": ("scurvy", "Iron pill"), "Drug": ("iron pill",)}, truth)
    assert (found.right, found.n, found.precision) == (2, 3, pytest.approx(2 / 3))
    assert quality_of({}, truth).low == quality_of({}, truth).precision == 0


def test_wilson_is_the_published_interval() -> None:
    # Newcombe (1998), table I: 81 of 263 gives 0.2553 to 0.3662; 0 of 20 begins at 0.
    assert wilson_low(81, 263) == pytest.approx(0.2553, abs=5e-5)
    assert wilson_low(0, 20) == pytest.approx(0, abs=1e-12)
    assert wilson_low(20, 20) == pytest.approx(20 / (20 + 1.959964**2), abs=1e-6)
    assert wilson_low(117, 138) > 0.75
