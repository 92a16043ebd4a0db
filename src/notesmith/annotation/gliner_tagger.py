"""GLiNER and GLiNER2 as annotators: small encoders that find what the names of labels describe.

They are asked by name for every label of the project, and for others that are to be left out. Notes
are read in pieces of whole sentences that fit their window.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

from notesmith.annotation.gliner_models import Found, Room, Word, ZeroShot
from notesmith.annotation.mentions import MentionAnnotator, with_score
from notesmith.annotation.tagger import LabelMap, annotator_of
from notesmith.document import Document, Entity, Span
from notesmith.errors import ConfigError, shown_name
from notesmith.progress import OnProgress, Progress
from notesmith.segments import sentences

MISPLACED = "mentions whose offsets do not fit their text"
OVERLAPPING = "mentions that overlap a surer one"
UNREAD = "words that the model cannot read"
_NOTES_AT_ONCE = 32
# Less room for text than this is a mistake.
_FEW_TOKENS = 32


def prompts_of(labels: Sequence[str], label_map: Mapping[str, str]) -> dict[str, str]:
    """What the model is asked for, with the label that it stands for ('' is left out).

    A label that nothing is mapped to is asked for by its own name, ``Sign_symptom`` as
    ``sign symptom``.

    Raises:
        ConfigError: two labels would be asked for by one name.
    """
    prompts = dict(label_map)
    for label in labels:
        if label in label_map.values():
            continue
        prompt = label.replace("_", " ").lower()
        if prompt in prompts:
            raise ConfigError(
                f"the prompt {shown_name(prompt)} would stand for two labels; map another prompt "
                f"to {shown_name(label)} (annotate.tagger.label_map)"
            )
        prompts[prompt] = label
    return prompts


def of_gliner(
    model: ZeroShot,
    labels: tuple[str, ...],
    label_map: Mapping[str, str],
    *,
    name: str,
    descriptions: Mapping[str, str] = {},
    threshold: float = 0.5,
) -> MentionAnnotator:
    """What ``model`` finds for ``prompts_of(labels, label_map)``, with its scores.

    Args:
        model: see ``load_gliner``.
        labels: of the project.
        label_map: prompt to label; '' asks and drops, which tells near kinds apart.
        name: what it is called.
        descriptions: one line on a label, by label or prompt; GLiNER2 alone reads them.
        threshold: mentions with a lower score are not found.

    Raises:
        ConfigError: a prompt is mapped to what is no label, two labels have one prompt, or prompts
            leave no room for text.
    """
    prompts = prompts_of(labels, label_map)
    mapping = LabelMap.of((), labels, prompts)
    said = {p: descriptions.get(p, descriptions.get(own, "")) for p, own in prompts.items()}
    room = model.room(said)
    if room.tokens < _FEW_TOKENS:
        raise ConfigError(
            f"{len(prompts)} prompts and their descriptions fill the window of {name}; ask for "
            "fewer labels, shorten corpus.label_descriptions, or name another model"
        )
    finder = _Finder(model, said, threshold, room)
    return annotator_of(name, finder.find, labels, mapping)


@dataclass(frozen=True, slots=True)
class _Finder:
    model: ZeroShot
    prompts: Mapping[str, str]
    threshold: float
    room: Room

    def find(
        self, docs: Sequence[Document], on_progress: OnProgress, counts: Counter[str]
    ) -> Iterator[Document]:
        began, kind = perf_counter(), self.model.kind
        for first in range(0, len(docs), _NOTES_AT_ONCE):
            group = docs[first : first + _NOTES_AT_ONCE]
            pieces, texts = [], []
            for i, doc in enumerate(group):
                seen, found = self._pieces(doc, counts)
                pieces += [(i, start) for start, _ in found]
                texts += [seen[start:end] for start, end in found]
            answers = self.model.ask(texts, self.prompts, self.threshold) if texts else []
            mentions: list[list[Found]] = [[] for _ in group]
            for (i, start), text, answer in zip(pieces, texts, answers, strict=True):
                fitting = [one for one in answer if 0 <= one.start < one.end <= len(text)]
                counts[MISPLACED] += len(answer) - len(fitting)
                kept = _surest(fitting)
                counts[OVERLAPPING] += len(fitting) - len(kept)
                mentions[i] += [replace(x, start=x.start + start, end=x.end + start) for x in kept]
            for doc, own in zip(group, mentions, strict=True):
                yield doc.with_entities(_entity(k, one) for k, one in enumerate(own, 1))
            done = first + len(group)
            on_progress(Progress(kind, done, len(docs), "notes", 0, perf_counter() - began))

    def _pieces(self, doc: Document, counts: Counter[str]) -> tuple[str, list[Span]]:
        """What the model is to see of ``doc``, character by character, and its pieces.

        A word without tokens would move the mentions behind it by one word (gliner), and be written
        to the log (gliner2); one with too many fits no window. White space takes their place.
        """
        words = self.model.words(doc.text)
        readable = [word for word in words if 0 < word.n_tokens <= self.room.tokens]
        if len(readable) == len(words):
            return doc.text, pieces_of(doc.text, words, self.room)
        counts[UNREAD] += len(words) - len(readable)
        seen = list(doc.text)
        for word in words:
            if not 0 < word.n_tokens <= self.room.tokens:
                seen[word.start : word.end] = " " * (word.end - word.start)
        return "".join(seen), pieces_of(doc.text, readable, self.room)


def pieces_of(text: str, words: Sequence[Word], room: Room) -> list[Span]:
    """Ranges of whole sentences that fit ``room``, as many sentences as do.

    A sentence that does not is cut at white space, or where it has none between two words.
    """
    ends = [end for _, end in sentences(text)]
    sentence = [bisect_right(ends, word.start) for word in words]
    spans: list[Span] = []
    first = 0
    while first < len(words):
        stop, n_tokens = first, 0
        while stop < min(len(words), first + room.words):
            n_tokens += words[stop].n_tokens
            if n_tokens > room.tokens:
                break
            stop += 1
        if stop < len(words):
            inside = range(stop, first, -1)
            stop = next(
                (i for i in inside if sentence[i] != sentence[i - 1]),
                next((i for i in inside if words[i].start > words[i - 1].end), stop),
            )
        spans.append((words[first].start, words[stop - 1].end))
        first = stop
    return spans


def _surest(found: Sequence[Found]) -> list[Found]:
    """Those of ``found`` that overlap no surer one, in order; so GLiNER itself chooses.

    A prompt that is asked for and dropped takes what it is surer of from the labels.
    """
    kept: list[Found] = []
    for one in sorted(found, key=lambda x: (-x.score, x.start, x.end, x.prompt)):
        if all(one.end <= other.start or other.end <= one.start for other in kept):
            kept.append(one)
    return sorted(kept, key=lambda x: x.start)


def _entity(number: int, found: Found) -> Entity:
    return with_score(Entity(f"T{number}", found.prompt, ((found.start, found.end),)), found.score)
