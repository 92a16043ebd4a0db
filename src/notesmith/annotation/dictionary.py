"""A dictionary as an annotator: names of gold and of term lists, found in text word by word.

How sure a name is, is measured where labels are known: in gold, each document read with the names
of the others alone (and the listed ones), as an unlabelled note would be.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Literal

from notesmith.annotation.mentions import (
    FLOOR,
    MentionAnnotator,
    spans_of,
    with_score,
    words_in,
)
from notesmith.annotation.trie import Form, Match, Trie
from notesmith.config.annotators import DictionaryConfig
from notesmith.document import Document, Entity
from notesmith.errors import ConfigError
from notesmith.progress import OnProgress, Progress, silent
from notesmith.words import words

LeftOut = Literal["two labels", "seldom marked", "too short"]

# Occurrences that the mean of all names counts for in the estimate of one.
_WEIGHT = 2.0
# Share of a name's marks that one label has; with less the name has two.
_MOST = 0.8


@dataclass(frozen=True, slots=True)
class Name:
    """A name of the dictionary, as first written, and what is known of it.

    ``score`` is the probability that a match is a mention of ``label``. ``right`` of ``matched``
    occurrences in gold were, where the name was known without the document itself.
    """

    name: str
    label: str
    score: float
    matched: int
    right: int
    is_gold: bool


@dataclass(frozen=True, slots=True)
class Dictionary:
    """Names to look up, and how many were left out, by reason.

    ``floor`` is the share of words outside all matches that are words of mentions, as gold shows.
    """

    labels: tuple[str, ...]
    names: tuple[Name, ...]
    left_out: Mapping[LeftOut, int]
    floor: float
    trie: Trie[Name] = field(repr=False, compare=False)

    def find(
        self, docs: Sequence[Document], on_progress: OnProgress = silent
    ) -> Iterator[Document]:
        """``docs`` with the names that stand in them as scored entities; the longest name wins."""
        began = perf_counter()
        for i, doc in enumerate(docs, 1):
            yield doc.with_entities(
                with_score(Entity(f"T{k}", match.value.label, (match.span,)), match.value.score)
                for k, match in enumerate(self.trie.matches(doc.text), 1)
            )
            on_progress(Progress("dictionary", i, len(docs), "notes", 0, perf_counter() - began))

    def annotator(self) -> MentionAnnotator:
        """The dictionary with the methods of a student."""
        name = f"dictionary of {len(self.names)} names"
        return MentionAnnotator(self.labels, name, self.find, self.floor, mentions_alone=True)


def build_dictionary(
    gold: Sequence[Document],
    listed: Mapping[str, Sequence[str]],
    labels: tuple[str, ...],
    config: DictionaryConfig,
) -> Dictionary:
    """Collect the names of ``gold`` and ``listed``, and measure them in ``gold``.

    The score of a name is (right + 2 m) / (matched + 2). The mean m is that of all gold names, or
    of all names that are only listed: (right + 2 p) / (matched + 2), with p one half for gold names
    and ``config.listed_score`` for others.

    Args:
        gold: labelled documents; mentions of more than one range give no name.
        listed: names by label.
        labels: of the project.
        config: bounds.

    Raises:
        ConfigError: ``listed`` has a label that is not among ``labels``.
    """
    if unknown := sorted(listed.keys() - set(labels)):
        raise ConfigError(
            f"a term list is for {unknown[0]!r}; labels are {', '.join(labels)}, so name one of "
            "these (annotate.dictionary.term_lists)"
        )
    left_out: Counter[LeftOut] = Counter()
    drafts = _collect(gold, listed, config, left_out)
    sources: Trie[_Draft] = Trie()
    for draft in drafts:
        sources.add(draft.form, draft)
    missed, outside = _measure(gold, sources)
    means = {
        is_gold: _mean((d for d in drafts if d.is_gold == is_gold), prior)
        for is_gold, prior in ((True, 0.5), (False, config.listed_score))
    }
    names: list[Name] = []
    trie: Trie[Name] = Trie()
    for draft in drafts:
        score = (draft.right + _WEIGHT * means[draft.is_gold]) / (draft.matched + _WEIGHT)
        if draft.matched and score < config.min_precision:
            left_out["seldom marked"] += 1
            continue
        name = Name(draft.name, draft.label, score, draft.matched, draft.right, draft.is_gold)
        names.append(name)
        trie.add(draft.form, name)
    floor = missed / outside if outside else FLOOR
    return Dictionary(labels, tuple(names), dict(sorted(left_out.items())), floor, trie)


@dataclass(slots=True)
class _Draft:
    """A name that is being measured; ``source`` is the one gold document that has it, if one is."""

    name: str
    form: Form
    label: str
    is_gold: bool
    source: str | None
    matched: int = 0
    right: int = 0


def _collect(
    gold: Sequence[Document],
    listed: Mapping[str, Sequence[str]],
    config: DictionaryConfig,
    left_out: Counter[LeftOut],
) -> list[_Draft]:
    """One draft a form; a form of several labels is left out unless one has most of it."""
    found: dict[Form, Counter[str]] = {}
    first: dict[Form, str] = {}
    documents: dict[Form, set[str]] = {}
    for doc in gold:
        for ent in doc.entities:
            if len(ent.spans) == 1:
                mention = ent.mention(doc.text)
                form = Form.of(mention, config.exact_characters)
                first.setdefault(form, mention)
                found.setdefault(form, Counter())[ent.label] += 1
                documents.setdefault(form, set()).add(doc.id)
    on_list: dict[Form, set[str]] = {}
    for label, names in listed.items():
        for name in names:
            form = Form.of(name, config.exact_characters)
            first.setdefault(form, name)
            on_list.setdefault(form, set()).add(label)
    drafts: list[_Draft] = []
    for form in dict.fromkeys((*found, *on_list)):
        marked = found.get(form) or Counter(on_list[form])
        label, n = min(marked.items(), key=lambda item: (-item[1], item[0]))
        if not form.is_name:
            left_out["too short"] += 1
        elif n / marked.total() < _MOST:
            left_out["two labels"] += 1
        else:
            held = documents.get(form, set())
            is_listed = label in on_list.get(form, ())
            alone = next(iter(held)) if len(held) == 1 and not is_listed else None
            drafts.append(_Draft(first[form], form, label, form in found, alone))
    return drafts


def _measure(gold: Sequence[Document], trie: Trie[_Draft]) -> tuple[int, int]:
    """Count matches and right ones in the drafts of ``trie``.

    Returns:
        words of mentions outside matches, and all words outside.
    """
    missed = outside = 0
    for doc in gold:
        marked = {(ent.label, ent.spans) for ent in doc.entities}
        matches = trie.matches(doc.text, unless=partial(_is_of, doc.id))
        for match in matches:
            draft = match.value
            is_right = (draft.label, (match.span,)) in marked
            if _is_known(doc, match, draft.label, is_right):
                draft.matched += 1
                draft.right += is_right
        taken = words_in(doc.text, [match.span for match in matches])
        masked = words_in(doc.text, doc.masked)
        held = words_in(doc.text, spans_of(doc))
        missed += len(held - taken - masked)
        outside += len(words(doc.text)) - len(taken | masked)
    return missed, outside


def _is_of(doc_id: str, draft: _Draft) -> bool:
    return draft.source == doc_id


def _is_known(doc: Document, match: Match[_Draft], label: str, is_right: bool) -> bool:
    start, end = match.span
    if any(s < end and start < e for s, e in doc.masked):
        return False
    return is_right or label not in doc.unknown


def _mean(drafts: Iterable[_Draft], prior: float) -> float:
    right = matched = 0
    for draft in drafts:
        right, matched = right + draft.right, matched + draft.matched
    return (right + _WEIGHT * prior) / (matched + _WEIGHT)
