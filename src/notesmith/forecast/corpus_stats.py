"""What a plan must know of a corpus: counts of documents, words, units and labels, never text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from notesmith.config.recipe import RecipeConfig
from notesmith.document import Document
from notesmith.experiment.cost import SplitStats, TrainStats, UnitStats
from notesmith.experiment.stages.gold import dev_seed, out_of_draw_seed, sampled
from notesmith.findings import OUT_OF_DRAW, OUT_OF_FOLD
from notesmith.metrics import fold_mention
from notesmith.segments import UNITS_IN_WINDOW, cut, cut_long, split
from notesmith.synthesis.config import PromptConfig
from notesmith.synthesis.prompt import mentions_of, prompt_of
from notesmith.synthesis.requests import Request

# Until a probe has counted: Gemma's tokenizer on abstracts, marks included.
USUAL_TOKENS_PER_WORD = 1.5


def split_stats(docs: Sequence[Document], n: int = 0) -> SplitStats:
    """Count ``docs``, the first ``n`` of them if it is not 0."""
    docs = docs[: n or None]
    labels = Counter(ent.label for doc in docs for ent in doc.entities)
    pairs = {(e.label, fold_mention(e.mention(doc.text))) for doc in docs for e in doc.entities}
    return SplitStats(
        n_documents=len(docs),
        n_words=sum(len(doc.text.split()) for doc in docs),
        labels=dict(labels.most_common()),
        names=dict(Counter(label for label, _ in pairs).most_common()),
        patients=frozenset(str(d.metadata["patient"]) for d in docs if d.metadata.get("patient")),
    )


def held_out_stats(
    docs: Mapping[str, Sequence[Document]], config: RecipeConfig
) -> dict[str, SplitStats]:
    """Count what a run scores, by split; out of draw it is a sample of train, less each draw."""
    draws, evaluate = config.draws, config.evaluate
    train = docs.get("train", ())
    if evaluate.protocol == "cross-fit":
        return {OUT_OF_FOLD: split_stats(train, draws.sizes[0])}
    found: dict[str, SplitStats] = {}
    if "dev" in docs:
        n = draws.dev_documents or len(docs["dev"])
        used = sampled(len(docs["dev"]), n, seed=dev_seed(draws.seed))
        found["dev"] = split_stats([docs["dev"][i] for i in used])
    if "test" in docs:
        found["test"] = split_stats(docs["test"], draws.test_documents)
    seed = out_of_draw_seed(draws.seed)
    places = sampled(len(train), draws.out_of_draw_documents, seed=seed)
    if evaluate.split == "test" and places:
        found[OUT_OF_DRAW] = split_stats([train[i] for i in places])
    return found


def train_stats(
    docs: Sequence[Document],
    config: RecipeConfig,
    *,
    tokens_per_word: float = USUAL_TOKENS_PER_WORD,
    window: int | None = None,
) -> TrainStats:
    """Count train as ``config`` cuts it; token budgets are guessed from words.

    ``window`` is that of the language model, in tokens, where it is known.
    """

    def n_tokens(text: str) -> int:
        return round(len(text.split()) * tokens_per_word)

    most = window and window // UNITS_IN_WINDOW
    split_ = split_stats(docs)
    labels = sorted(split_.labels)
    sft, prompts = config.sft, PromptConfig.from_recipe(config)
    lengths: list[int] = []
    prompt_words = longest = n_cut = 0
    for doc in docs:
        spans = split(
            doc,
            sft.unit,
            passage_sentences=sft.passage_sentences,
            max_tokens=sft.max_unit_tokens,
            count_tokens=n_tokens,
        )
        if most:
            too_long = [span for span in spans if n_tokens(doc.text[slice(*span)]) > most]
            n_cut += len(too_long)
            spans = [
                part
                for span in spans
                for part in (cut_long(doc, span, most, n_tokens) if span in too_long else [span])
            ]
        for span in spans:
            unit = cut(doc, span)
            words = len(unit.text.split())
            asked = Request("", unit.id, words, mentions_of(unit))
            prompt = prompt_of(
                asked,
                config=prompts.model_copy(update={"template": "scratch"}),
                unit=sft.unit,
                labels=labels,
            )
            # A neighbour is a marked unit of about the same length.
            more = words if prompts.template == "neighbour" else 0
            in_prompt = len(prompt.split()) + more
            lengths.append(words)
            prompt_words += in_prompt
            longest = max(longest, words + in_prompt)
    read = tuple(
        len(doc.text[start:end].split())
        for doc in docs
        for start, end in split(doc, config.ner.unit)
    )
    return TrainStats(
        split_,
        UnitStats(tuple(lengths), prompt_words, longest, n_cut),
        UnitStats(read, longest=max(read, default=0)),
    )
