"""A small honest world for the rewards: fictional gold, requests, completions, and judges.

The committee looks names up: each of three members lacks a third of gold's, all know suffixes. The
fluency is a bigram model of the packaged fictional notes, which hold none of these sentences.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from notesmith.config import FilterConfig, RewardConfig
from notesmith.corpus import demo_corpus_path, read_corpus
from notesmith.document import Document, Entity
from notesmith.lm.rollout import Rollout
from notesmith.markup import Marks, parse, to_lm
from notesmith.synthesis.decode import Lexicon
from notesmith.synthesis.requests import Request
from notesmith.synthesis.reward import Judges, RewardModel, Task

MARKS = Marks.plain(["Disease", "Gene"])


def marked(text: str) -> str:
    """``{D:gout}`` and ``{G:HFE}`` as the model writes them."""
    for letter, label in (("D", "Disease"), ("G", "Gene")):
        text = re.sub(rf"{{{letter}:([^}}]+)}}", rf"{MARKS.opener(label)}\1{MARKS.close}", text)
    return to_lm(" " + text, MARKS)


def document(doc_id: str, text: str) -> Document:
    made = parse(
        marked(text).replace("<Disease> ", " <Disease>").replace("<Gene> ", " <Gene>").strip(),
        MARKS,
        doc_id=doc_id,
    )
    assert isinstance(made, Document)
    return made


GOLD_TEXTS = (
    "Mutations in the {G:GLA} gene cause {D:Fabry disease}, which affects the heart and kidneys.",
    "The patient was found to carry a deletion in {G:BRCA2} after her mother died of "
    "{D:breast cancer}.",
    "We screened forty families with {D:hereditary spherocytosis} for changes in the coding "
    "region.",
    "No difference in age at onset was seen between men and women.",
    "Linkage analysis placed the locus for {D:Wilson disease} on the long arm of chromosome 13.",
    "Serum ferritin was raised in all brothers with {D:haemochromatosis}.",
    "Two sisters with {D:retinitis pigmentosa} had lost central vision by the age of twenty.",
    "Samples were taken at birth and stored until the study ended.",
    "Carriers of the {G:HFE} variant should be told about the risk of {D:liver cirrhosis}.",
    "He was admitted with {D:renal failure} and treated with enzyme replacement for three months.",
    "The results were confirmed in a second laboratory by sequencing both strands.",
    "Loss of {G:NF1} was seen in nine of twelve tumours from patients with {D:neurofibromatosis}.",
    "Muscle biopsy showed changes typical of {D:mitochondrial myopathy}.",
    "Because {D:cystic fibrosis} is common in this region, newborns are tested for three variants "
    "of {G:CFTR}.",
)
GOLD = [document(f"gold-{i}", text) for i, text in enumerate(GOLD_TEXTS)]
PROPOSED = {
    "Disease": ["Alport syndrome", "optic glioma", "Gaucher disease"],
    "Gene": ["COL4A5", "PKD1"],
}
REQUESTS = (
    Request("r0", "gold-0:0-80", 15, (("Disease", "Alport syndrome"), ("Gene", "COL4A5"))),
    Request("r1", "gold-9:0-80", 13, (("Disease", "optic glioma"),)),
    Request("r2", "gold-3:0-80", 11),
    Request(
        "r3", "gold-1:0-80", 15, (("Disease", "Gaucher disease"), ("Disease", "renal failure"))
    ),
)
# Some faults of honest text are among them: marks that nobody asked for, with and without the
# committee's consent, more or fewer words than asked.
HONEST = (
    (
        "Affected boys with {D:Alport syndrome} carried a nonsense change in {G:COL4A5} and lost "
        "their hearing early.",
        "Sequencing of {G:COL4A5} explained the blood in the urine of three cousins with "
        "{D:Alport syndrome}.",
        "Women who carry one faulty copy of {G:COL4A5} may develop a mild form of "
        "{D:Alport syndrome} in later life.",
        "Hearing loss began at school age in a family where {D:Alport syndrome} was traced to "
        "{G:COL4A5}, while {D:nephritis} came later.",
    ),
    (
        "Her headaches led to a scan that showed a large {D:optic glioma} on the left.",
        "An {D:optic glioma} was removed before the child had started school.",
        "Of these children, six were followed for an {D:optic glioma} that did not grow.",
        "Vision in the right eye failed slowly as the {D:optic glioma} pressed on the nerve, and "
        "{D:lipoma} was excluded.",
    ),
    (
        "All parents gave written consent before blood was drawn.",
        "The mean follow up was six years, with a range of two to ten.",
        "Neither twin had been exposed to the drug during pregnancy.",
        "Each child was seen twice a year by the same doctor.",
    ),
    (
        "Enlargement of the spleen suggested {D:Gaucher disease}, but the cause of his "
        "{D:renal failure} remained unknown.",
        "In adults with {D:Gaucher disease} the bones are often painful and {D:renal failure} is "
        "rare.",
        "She developed {D:renal failure} ten years after the diagnosis of {D:Gaucher disease} had "
        "been made at birth.",
        "Neither {D:renal failure} nor bleeding was reported among the treated patients with "
        "{D:Gaucher disease}, although {D:tired legs} were common.",
    ),
)
_NAMES = sorted({(e.label, e.mention(d.text)) for d in GOLD for e in d.entities})
_SUFFIX = re.compile(r"\b[a-z]+(?:itis|oma|osis|aemia|opathy)\b")
_WORDS = re.compile(r"\w+|[^\w\s]")


def look_up(text: str, names: Sequence[tuple[str, str]]) -> Document:
    found = {
        match.span(): label
        for label, name in names
        for match in re.finditer(rf"\b{re.escape(name)}\b", text)
    }
    for match in _SUFFIX.finditer(text):
        if not any(s < match.end() and match.start() < e for s, e in found):
            found[match.span()] = "Disease"
    return Document(
        "said", text, tuple(Entity(f"T{i}", found[s], (s,)) for i, s in enumerate(sorted(found)))
    )


def committee(texts: Sequence[str]) -> list[list[Document]]:
    """Three members, each blind to a third of gold's names."""
    return [
        [look_up(text, [n for i, n in enumerate(_NAMES) if i % 3 != k]) for text in texts]
        for k in range(3)
    ]


@cache
def _counts() -> tuple[Counter[str], Counter[tuple[str, str]]]:
    ones: Counter[str] = Counter()
    twos: Counter[tuple[str, str]] = Counter()
    for doc in read_corpus(demo_corpus_path() / "train").docs:
        words = _WORDS.findall(doc.text.casefold())
        ones.update(words)
        twos.update(pairwise(words))
    return ones, twos


def fluency(texts: Sequence[str]) -> list[float]:
    """Mean log-probability a word: an add-one unigram model, half mixed with bigrams."""
    ones, twos = _counts()
    total = ones.total() + len(ones) + 1
    means: list[float] = []
    for text in texts:
        words = [".", *_WORDS.findall(text.casefold())]
        logs = [
            math.log(0.5 * (ones[b] + 1) / total + 0.5 * twos[a, b] / max(1, ones[a]))
            for a, b in pairwise(words)
        ]
        means.append(sum(logs) / max(1, len(logs)))
    return means


def task(requests: Sequence[Request] = REQUESTS) -> Task:
    names: dict[str, list[str]] = {label: list(found) for label, found in PROPOSED.items()}
    for label, name in _NAMES:
        names[label].append(name)
    return Task(requests, MARKS, Lexicon.of(names))


def reward_model(**changes: object) -> RewardModel:
    return RewardModel(
        GOLD,
        RewardConfig.model_validate(changes),
        FilterConfig(),
        judges=Judges(committee=committee, fluency=fluency),
        task=task(),
    )


def rollouts(groups: Sequence[Sequence[str]], *, ended: bool = True) -> list[Rollout]:
    return [Rollout(i, marked(text), (), ended) for i, group in enumerate(groups) for text in group]
