"""How much work a cell is, and how long it takes at given speeds: arithmetic, no measuring.

The counts are those of an average draw. Early stopping, cells of equal work and what the filters
drop make a run a little quicker than what stands here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from notesmith.evaluate.scores import OUT_OF_DRAW
from notesmith.experiment.cells import Cell
from notesmith.forecast.corpus_stats import SplitFacts, TrainFacts
from notesmith.forecast.speeds import Speeds

# A list of names goes on for this many tokens, and four of five proposals are new ones.
_LIST_TOKENS, _PER_LIST, _NEW_RATIO = 48, 6, 0.8
_OTHER_LISTS, _MOST_LABELS = 7, 8
# A forward pass costs a third of a step. A step of GRPO puts each token through the policy with
# gradient and through the reference, some of it shared (docs/speed.md).
_FORWARD, _GRPO = 1 / 3, 0.75
_FILTER_SECONDS, _READ_SECONDS = 0.0008, 0.003


@dataclass(frozen=True, slots=True)
class Amount:
    """Work of a cell.

    Tokens that the language model samples and is trained on; names it scores, each against one
    list; words that a student is trained on and reads; models loaded; and plain seconds. Tokens
    are given as words of the language model's text, to be multiplied by its tokens a word.
    """

    sampled: float = 0.0
    trained: float = 0.0
    scored: float = 0.0
    learnt: float = 0.0
    read: float = 0.0
    lms: int = 0
    students: int = 0
    seconds: float = 0.3


@dataclass(frozen=True, slots=True)
class Corpus:
    """Train and what is scored, by split."""

    train: TrainFacts
    held_out: Mapping[str, SplitFacts]


def seconds_of(amount: Amount, speeds: Speeds) -> float | None:
    """Seconds that ``amount`` takes; None where a speed it needs is unknown."""
    total = amount.seconds
    if amount.lms:
        if (lm := speeds.lm) is None:
            return None
        words = amount.sampled / lm.sampled + amount.trained / lm.trained
        total += words * lm.tokens_per_word + amount.scored / lm.scored + amount.lms * lm.load
    if amount.students:
        if (student := speeds.student) is None:
            return None
        words = amount.learnt / student.trained + amount.read / student.read
        total += words * student.pieces_per_word + amount.students * student.load
    return total


def amount_of(cell: Cell, corpus: Corpus) -> Amount:
    """The work of ``cell``."""
    rule = _RULES.get(cell.stage)
    return rule(cell, corpus) if rule else Amount()


def _share(cell: Cell, corpus: Corpus) -> float:
    share = min(1.0, cell.size / max(1, corpus.train.split.n_documents))
    gold = cell.inputs.get("gold")
    if gold is not None and gold.stage == "fold":
        # What the other folds hold.
        share *= 1 - 1 / int(gold.config["folds"])
    return share


def _names(cell: Cell, corpus: Corpus) -> Amount:
    proposals = int(cell.config["names"]["proposals"])
    # A part of the documents holds more than that part of the names, as names repeat.
    share = min(1.0, 1.5 * _share(cell, corpus))
    labels = [n for n in corpus.train.split.names.values() if n * share >= 3]
    if not proposals or not labels:
        return Amount(lms=1)
    lists = _OTHER_LISTS + min(_MOST_LABELS, sum(n * share >= 6 for n in labels) - 1)
    n_tokens = len(labels) * max(1, proposals // _PER_LIST) * _LIST_TOKENS
    return Amount(
        sampled=n_tokens / 1.5,
        scored=len(labels) * _NEW_RATIO * proposals * max(_OTHER_LISTS, lists),
        lms=1,
    )


def _sft(cell: Cell, corpus: Corpus) -> Amount:
    sft = cell.config["sft"]
    units = corpus.train.written
    words = (units.words + units.prompt_words) * _share(cell, corpus)
    dev = float(sft["dev_ratio"]) if cell.size > 1 else 0.0
    epochs = float(sft["epochs"])
    n_looks = math.ceil(epochs * int(sft["evaluations_per_epoch"])) + 1
    trained = words * (1 - dev) * (1 + int(sft["replaced_copies"])) * epochs
    return Amount(trained=trained + words * dev * n_looks * _FORWARD, lms=1)


def n_asked(cell: Cell, corpus: Corpus) -> float:
    """Texts that a ``sample`` cell asks for."""
    asking = cell.config["synthesize"]
    per_gold = asking.get("units_per_gold")
    units = corpus.train.written.n * _share(cell, corpus)
    return round(per_gold * units) if per_gold else float(asking["units"])


def _asked_words(cell: Cell, corpus: Corpus) -> float:
    """Words of a text: no unit is asked for that would be too short or too long to be kept."""
    bounds = cell.config["filter"]
    low, high = int(bounds["min_words"]), int(bounds["max_words"])
    kept = [n for n in corpus.train.written.lengths if low <= n <= high]
    return sum(kept) / len(kept) if kept else corpus.train.written.mean


def _sample(cell: Cell, corpus: Corpus) -> Amount:
    n_each = int(cell.config.get("best_of", 1))
    words = n_asked(cell, corpus) * n_each * _asked_words(cell, corpus)
    learnt = read = trained = 0.0
    students = 0
    if cell.config["synthesize"].get("agreement"):
        learnt, students = 3 * _learnt(cell.config["ner"], corpus), 3
    if n_each > 1:
        # Every text is judged: by the committee, and for fluency by the base model.
        members = int(cell.config["reward"]["members"])
        read, students = read + members * words, students + members
        trained = words * _FORWARD
    return Amount(words, trained, 0.0, learnt, read, 1 + (n_each > 1), students)


def _learnt(ner: Mapping[str, Any], corpus: Corpus) -> float:
    return int(ner["steps"]) * int(ner["batch_size"]) * corpus.train.read.mean


def _committee(cell: Cell, corpus: Corpus) -> Amount:
    members = int(cell.config["members"])
    return Amount(learnt=members * _learnt(cell.config["ner"], corpus), students=members)


def _rl(cell: Cell, corpus: Corpus) -> Amount:
    rl = cell.config["rl"]
    units = corpus.train.written
    length = _asked_words(cell, corpus)
    prompt = units.prompt_words / max(1, units.n)
    members = int(cell.config["reward"]["members"])
    if rl["method"] == "grpo":
        steps = int(rl["steps"])
        drawn = steps * int(rl["prompts"]) * int(rl["completions"])
        trained = drawn * (length + prompt) * _GRPO
        looks = 2 + steps // int(rl["evaluate_every"])
    else:
        rounds = int(rl["rounds"])
        steps = int(rl["steps"]) * rounds
        drawn = rounds * int(rl["prompts_per_round"]) * int(rl["completions"])
        pair = 2 if rl["method"] == "dpo" else 1
        trained = steps * int(rl["batch_size"]) * (length + prompt) * pair
        looks = 1 + rounds
    written = drawn + looks * int(rl["held_out"])
    # Rewards: the committee reads each text, the base model says how likely it is.
    return Amount(
        sampled=written * length,
        trained=trained + written * (length + prompt) * _FORWARD,
        read=members * written * length,
        lms=2,
        students=members,
    )


def _ner(cell: Cell, corpus: Corpus) -> Amount:
    return Amount(learnt=_learnt(cell.config["ner"], corpus), students=1)


def _score(cell: Cell, corpus: Corpus) -> Amount:
    split = corpus.held_out.get(str(cell.config["split"]))
    n_documents, words = (split.n_documents, split.n_words) if split else (0, 0)
    if cell.config["split"] == OUT_OF_DRAW:  # as many of them are drawn as of train
        share = 1 - _share(cell, corpus)
        n_documents, words = round(n_documents * share), round(words * share)
    if "documents" in cell.inputs:
        n_folds = int(cell.inputs["documents"].config["folds"])
        n_documents, words = n_documents // n_folds, words // n_folds
    return Amount(read=words, students=1 if words else 0, seconds=0.3 + _READ_SECONDS * n_documents)


def _relabelled(cell: Cell, corpus: Corpus) -> Amount:
    sample = cell.inputs["made"].inputs["candidates"]
    return Amount(read=n_asked(sample, corpus) * corpus.train.written.mean, students=1)


def _filter(cell: Cell, corpus: Corpus) -> Amount:
    return Amount(seconds=0.1 + _FILTER_SECONDS * n_asked(cell.inputs["candidates"], corpus))


_RULES: dict[str, Callable[[Cell, Corpus], Amount]] = {
    "names": _names,
    "sft": _sft,
    "committee": _committee,
    "rl": _rl,
    "sample": _sample,
    "filter": _filter,
    "relabelled": _relabelled,
    "ner": _ner,
    "score": _score,
}


def total_seconds(cells: Iterable[Cell], corpus: Corpus, speeds: Speeds) -> float | None:
    """Seconds that ``cells`` and all below them take; None where a speed is unknown."""
    unique = {cell.key: cell for target in cells for cell in target.walk()}
    times = [seconds_of(amount_of(cell, corpus), speeds) for cell in unique.values()]
    return None if None in times else sum(t for t in times if t is not None)
