"""What fits into the hours: arithmetic on speeds that are made up."""

import pytest

from notesmith.config import ReadingConfig
from notesmith.errors import ConfigError, StageError
from notesmith.experiment.draw import Draw, Fingerprints
from notesmith.experiment.engine import CellEvent
from notesmith.experiment.stages import SOURCES
from notesmith.experiment.stages import gold as drawing
from notesmith.experiment.store import CellStore
from notesmith.forecast.speeds import LmSpeeds, Speeds
from notesmith.workflows.hours import Expected, fit, with_chosen
from notesmith.workflows.settings import synthesis_settings
from tests.experiment.doubles import note

DOCS = [note("train", i) for i in range(40)]
SPEEDS = Speeds(
    LmSpeeds(sampled=100, trained=20, scored=50, tokens_per_word=2.0, load=1, folder=0), None
)


def target(config):
    outside = Fingerprints("train")
    gold = drawing.cell(config, outside, size=len(DOCS), replicate=0)
    draw = Draw(config, outside, len(DOCS), 0, gold=gold, sources=SOURCES)
    return draw.made("synthetic", config.arm[1])


@pytest.fixture(scope="module")
def config():
    return synthesis_settings(DOCS, "notes", reading=ReadingConfig(), seed=1, learns_all=True)


def test_text_takes_what_learning_leaves(config):
    found = fit(config, DOCS, target, SPEEDS, 2.0)
    assert found.epochs == 1.0
    assert 7200 * 0.99 < found.seconds <= 7200
    more = fit(config, DOCS, target, SPEEDS, 3.0)
    assert more.units > found.units and more.epochs == 1.0


def test_learning_is_cut_to_half_of_a_short_time(config):
    whole = Expected.of(with_chosen(config, 1, 1.0), DOCS, target(config), SPEEDS)
    learning = whole.total
    found = fit(config, DOCS, target, SPEEDS, learning / 3600)
    assert 0.1 < found.epochs < 1.0
    assert found.seconds <= learning * 1.01
    with pytest.raises(ConfigError, match=r"too little .* hours are right"):
        fit(config, DOCS, target, SPEEDS, learning / 36000)


def test_a_number_of_texts_that_is_given_stays(config):
    found = fit(config, DOCS, target, SPEEDS, 1.0, units=50)
    assert found.units == 50


def test_unknown_speeds_are_said(config):
    with pytest.raises(StageError, match="give --n"):
        fit(config, DOCS, target, Speeds(), 1.0)


def test_time_left_is_of_all_cells_that_are_left(config, tmp_path):
    cell = target(config)
    expected = Expected.of(config, DOCS, cell, SPEEDS)
    heard = []
    tell = expected.telling(heard.append, cell, CellStore(tmp_path))
    tell(CellEvent("start", cell, 0, 5, 0.0, n_untimed=5))
    assert heard[0].eta == pytest.approx(expected.total) and heard[0].n_untimed == 0
