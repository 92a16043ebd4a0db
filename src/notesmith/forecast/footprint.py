"""What a plan needs: memory by stage, disk, and whatever has to come over the network."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from notesmith.config import RecipeConfig
from notesmith.experiment.cells import Cell
from notesmith.experiment.models import models_of, needs_lm
from notesmith.forecast.speeds import GIB, Speeds
from notesmith.lm.presets import OFFLINE_DEFAULT, PRESETS

# Bytes of activations, batches and libraries beside the weights, where nothing was measured.
_BESIDE = 2 * GIB
# What the offline default's conversion and its trimmed copy take in the cache.
_CONVERTED = int(0.8 * GIB)
_TEXT = GIB // 20
_PEAK_OF = {"committee": "ner", "relabelled": "score"}


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


def peak_of(stage: str, config: RecipeConfig, speeds: Speeds) -> int | None:
    """Bytes at the peak of a stage; None where nothing is known or worth saying."""
    if stage in ("ner", "score", "committee", "relabelled"):
        peaks = speeds.student.peaks if speeds.student else {}
        return peaks.get(_PEAK_OF.get(stage, stage))
    if stage not in ("names", "sft", "sample", "rl"):
        return None
    if speeds.lm is not None and speeds.lm.peaks:
        if stage != "rl":
            return speeds.lm.peaks.get(stage)
        # The reference beside the policy, and the committee's students.
        students = config.reward.members * (speeds.student.folder if speeds.student else 0)
        return speeds.lm.peaks["sft"] + speeds.lm.folder + students
    n = n_parameters(config)
    if n is None:
        return None
    rank = config.sft.lora_rank if stage == "sft" else config.rl.lora_rank
    tuned = 2.16 if rank else 16.0
    each = {"names": 2.0, "sample": 2.0, "sft": tuned, "rl": tuned + 2.0}[stage]
    return round(n * each) + _BESIDE


def least_memory(config: RecipeConfig) -> int | None:
    """Bytes that fine-tuning cannot do without, by the number of parameters alone."""
    n = n_parameters(config) if needs_lm(config) else None
    if n is None or config.lm.model == OFFLINE_DEFAULT:  # which is trimmed to half
        return None
    return round(n * (2.16 if config.sft.lora_rank else 16.0))


def disk_of(
    cells: Sequence[Cell], config: RecipeConfig, speeds: Speeds, *, keep: bool, cache: Path
) -> int | None:
    """Bytes that ``cells``, yet to be computed, take at most: kept weights and those of one draw.

    Args:
        cells: the cells that are left.
        config: the recipe.
        speeds: knows the size of model folders.
        keep: whether every replicate's weights are kept.
        cache: of converted models.
    """
    n = n_parameters(config)
    lm = speeds.lm.folder if speeds.lm else (2 * n if n else None)
    student = speeds.student.folder if speeds.student else None
    sizes = {
        "sft": lm,
        "rl": lm,
        "ner": student,
        "committee": None if student is None else config.reward.members * student,
    }
    kept = 0
    passing: defaultdict[tuple[int, int], int] = defaultdict(int)
    for cell in cells:
        if cell.stage not in sizes:
            continue
        size = sizes[cell.stage]
        if size is None:
            return None
        if keep or cell.replicate == 0:
            kept += size
        else:
            passing[cell.size, cell.replicate] += size
    converted = (cache / f"{OFFLINE_DEFAULT}-v1").is_dir()
    convert = needs_lm(config) and config.lm.model == OFFLINE_DEFAULT and not converted
    # While a tuned model is saved it stands twice.
    scratch = (lm or 0) if any(cell.stage in ("sft", "rl") for cell in cells) else 0
    return kept + max(passing.values(), default=0) + scratch + convert * _CONVERTED + _TEXT
