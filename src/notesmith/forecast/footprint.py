"""What a plan needs: memory by stage, disk, and whatever has to come over the network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from notesmith.config.recipe import RecipeConfig
from notesmith.experiment.cost import CorpusStats, Peak
from notesmith.experiment.graph import Cell
from notesmith.experiment.models import models_of, needs_lm
from notesmith.forecast.speeds import GIB, Speeds
from notesmith.lm.presets import OFFLINE, OFFLINE_GEMMA, PRESETS

# Bytes of activations, batches and libraries beside the weights, where nothing was measured.
_BESIDE = 2 * GIB
# What an offline model's conversion and its trimmed copy take in the cache at most.
_CONVERTED = int(0.8 * GIB)
_TEXT = GIB // 20


@dataclass(frozen=True, slots=True)
class ToFetch:
    """A model that the recipe names and that lies on a hub; ``here`` if it was fetched before."""

    field: str
    hub_id: str
    here: bool
    gated: bool = False


def hub_models(config: RecipeConfig) -> tuple[ToFetch, ...]:
    """Models that are not folders or packages of this machine."""
    found: list[ToFetch] = []
    for model in models_of(config):
        if (on_hub := model.on_hub) is not None:
            preset = PRESETS.get(model.name.partition("@")[0])
            gated = preset is not None and preset.gated
            here = on_hub.folder() is not None
            found.append(ToFetch(model.field, on_hub.hub_id, here, gated))
    return tuple(found)


def n_parameters(config: RecipeConfig) -> int | None:
    """Parameters of the language model: as its preset says, or going by its folder's weights."""
    if preset := PRESETS.get(config.lm.model.partition("@")[0]):
        return preset.n_parameters * 1_000_000
    folder = Path(config.lm.model).expanduser()
    if not folder.is_dir():
        return None
    return sum(path.stat().st_size for path in folder.glob("*.safetensors")) // 2 or None


def peak_of(kind: Peak, config: RecipeConfig, speeds: Speeds) -> int | None:
    """Bytes at the peak of a kind of work; None where nothing is known."""
    if kind in ("training", "predicting"):
        return speeds.student.peaks.get(kind) if speeds.student else None
    if speeds.lm is not None and speeds.lm.peaks:
        if kind != "rewarding":
            return speeds.lm.peaks.get(kind)
        # The reference beside the policy, and the committee's students.
        students = config.reward.members * (speeds.student.folder if speeds.student else 0)
        return speeds.lm.peaks["tuning"] + speeds.lm.folder + students
    n = n_parameters(config)
    if n is None:
        return None
    rank = config.rl.lora_rank if kind == "rewarding" else config.sft.lora_rank
    tuned = 2.16 if rank else 16.0
    each = {"tuning": tuned, "rewarding": tuned + 2.0}.get(kind, 2.0)
    return round(n * each) + _BESIDE


def least_memory(config: RecipeConfig) -> int | None:
    """Bytes that fine-tuning cannot do without, by the number of parameters alone."""
    n = n_parameters(config) if needs_lm(config) else None
    if n is None or config.lm.model == OFFLINE_GEMMA:  # which is trimmed to half
        return None
    return round(n * (2.16 if config.sft.lora_rank else 16.0))


def disk_of(
    cells: Sequence[Cell],
    config: RecipeConfig,
    facts: CorpusStats,
    speeds: Speeds,
    *,
    keep: bool,
    cache: Path,
) -> int | None:
    """Bytes that ``cells``, yet to be computed, take at most: kept weights and those of one draw.

    Args:
        cells: the cells that are left.
        config: the recipe.
        facts: counts of the corpus.
        speeds: knows the size of model folders.
        keep: whether every replicate's weights are kept.
        cache: of converted models.
    """
    n = n_parameters(config)
    lm = speeds.lm.folder if speeds.lm else (2 * n if n else None)
    student = speeds.student.folder if speeds.student else None
    kept = 0
    saves_lm = False
    passing: defaultdict[tuple[int, int], int] = defaultdict(int)
    for cell in cells:
        amount = cell.amount(facts)
        n_lms, n_students = amount.saved_lms, amount.saved_students
        if (n_lms and lm is None) or (n_students and student is None):
            return None
        saves_lm = saves_lm or n_lms > 0
        size = n_lms * (lm or 0) + n_students * (student or 0)
        if keep or cell.replicate == 0 or cell.stage.keeps == "always":
            kept += size
        else:
            passing[cell.size, cell.replicate] += size
    converted = (cache / f"{config.lm.model}-v1").is_dir()
    convert = needs_lm(config) and config.lm.model in OFFLINE and not converted
    # While a tuned model is saved it stands twice.
    scratch = (lm or 0) if saves_lm else 0
    return kept + max(passing.values(), default=0) + scratch + convert * _CONVERTED + _TEXT
