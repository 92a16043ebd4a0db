from pathlib import Path

import pytest

from notesmith.forecast.probe import run_probe, stretch
from notesmith.forecast.resources import Resources
from tests.experiment.doubles import note, tiny_recipe
from tests.lm.tiny import save_tiny
from tests.ner.tiny import tiny_encoder

MACHINE = Resources(cores=2, threads=2, memory=1, free=1)
PATHS = {"train": "a", "dev": "b", "test": "c"}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp("models")
    save_tiny("gemma3", folder / "lm")
    tiny_encoder(folder / "encoder")
    return tiny_recipe(
        PATHS,
        lm={"model": str(folder / "lm"), "trim": False},
        ner={"encoder": str(folder / "encoder"), "steps": 3, "batch_size": 4},
    )


def test_it_measures_the_recipes_own_models_and_leaves_nothing(recipe, tmp_path: Path):
    told: list[str] = []
    docs = [note("train", i) for i in range(6)]
    speeds = run_probe(
        recipe,
        docs,
        with_lm=True,
        cache=tmp_path / "cache",
        scratch=tmp_path / "scratch",
        machine=MACHINE,
        tell=told.append,
    )
    lm, student = speeds.lm, speeds.student
    assert lm is not None and student is not None and speeds.origin == "measured"
    assert speeds.busy >= 0
    assert min(lm.sampled, lm.trained, lm.scored, student.trained, student.read) > 0
    assert lm.tokens_per_word > 1 and student.pieces_per_word >= 1
    assert set(lm.peaks) == {"scoring", "tuning", "sampling"}
    assert set(student.peaks) == {"training", "predicting"}
    assert lm.folder > 1000 and student.folder > 1000
    assert len(told) == 2 and not (tmp_path / "scratch").exists()


def test_arms_without_the_language_model_do_not_load_it(recipe, tmp_path: Path):
    missing = recipe.model_copy(
        update={"lm": recipe.lm.model_copy(update={"model": str(tmp_path / "none")})}
    )
    docs = [note("train", i) for i in range(4)]
    speeds = run_probe(
        missing, docs, with_lm=False, cache=tmp_path, scratch=tmp_path / "s", machine=MACHINE
    )
    assert speeds.lm is None and speeds.student is not None


@pytest.mark.parametrize(
    ("cpu", "others", "cores", "times"),
    [
        (18.0, 0.0, 2, 1.0),  # alone: two threads never keep two cores quite busy
        (10.0, 1.0, 2, 2.0),  # half of the machine went to others
        (18.0, 1.0, 2, 20 / 18),  # they took it when we did not want it
        (18.0, 0.5, 2, 20 / 18),
        (13.0, 0.4, 2, 1.25),
        (10.0, 1.0, 16, 1.0),  # a core went, but not one of ours
        (1.0, 2.0, 2, 20.0),
    ],
)
def test_what_other_work_took_is_taken_out(cpu, others, cores, times):
    found = stretch(wall=10.0, cpu=cpu, others=others, threads=2, cores=cores)
    assert found == pytest.approx(times)
    assert stretch(wall=10.0, cpu=cpu, others=others, threads=0, cores=cores) == 1.0
