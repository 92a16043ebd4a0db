"""The table of two language models is made of their runs, gold's students left out."""

import json
import shutil
from pathlib import Path

import pytest
from benchmarks.language_models import LOSSES, nats_per_character, table

from notesmith.document import Document
from notesmith.experiment import load_recipe, run_recipe
from notesmith.lm.score import score_continuations
from notesmith.lm.training.sft import Example
from tests.experiment.doubles import DOUBLES, tiny_recipe, write_notes
from tests.lm.tiny import TEXTS, tiny_lm

RECIPE = Path(__file__).parents[2] / "recipes" / "ncbi-disease-models.toml"


def test_the_recipe_scores_dev_with_five_students():
    recipe = load_recipe(str(RECIPE), changes=["corpus.train=x"])
    assert (recipe.draws.replicates, recipe.draws.students) == (3, 5)
    assert recipe.evaluate.split == "dev"


def test_the_table_of_two_runs(tmp_path):
    config = tiny_recipe(
        write_notes(tmp_path),
        draws={"students": 2, "curve": [], "out_of_draw_documents": 0},
        evaluate={"split": "dev", "against": {}},
    )
    one, two = tmp_path / "one", tmp_path / "two"
    run_recipe(config, one, instead=DOUBLES, cache=one / "cache", only=["arm=synthetic,both"])
    losses = (("a", 0.8), ("b", 0.9))
    rows = [{"generator": name, "nats_per_character": nats} for name, nats in losses]
    (one / LOSSES).write_text("".join(json.dumps(row) + "\n" for row in rows))
    shutil.copytree(one, two)
    lines = table(one, two, 1.0).splitlines()
    assert lines[0] == "| | double | double |"
    assert "| loss, nats a character | 0.850 | 0.850 |" in lines
    assert "| texts asked for | 6 | 6 |" in lines
    for arm in ("synthetic", "both"):
        (line,) = [x for x in lines if x.startswith(f"| {arm} |")]
        assert "+0.0 [+0.0, +0.0] | +0.0, +0.0 | holds, its interval too |" in line
    assert not any(x.startswith("| gold |") for x in lines)


def test_loss_counts_the_end_and_divides_by_characters():
    lm = tiny_lm("llama")
    units = [Document(str(i), text) for i, text in enumerate(TEXTS)]
    examples = [Example("Write: ", text) for text in TEXTS]
    found = nats_per_character(lm, examples, units)
    alone = score_continuations(lm, [e.prompt for e in examples], TEXTS)
    without_end = -sum(score.log_prob for score in alone) / sum(map(len, TEXTS))
    assert without_end < found < 1.1 * without_end
    assert found == pytest.approx(nats_per_character(lm, examples[::-1], units[::-1]), rel=1e-5)
