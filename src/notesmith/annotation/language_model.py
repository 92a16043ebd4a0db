"""A language model as annotator: it reads notes unit by unit and writes the mentions of each.

The model was tuned on gold (``tune``) or is shown gold examples. What it writes is read by
``Form.read``, and everything that could not be used is counted by reason. The score of a mention
is the mean probability of the tokens that name it, or the share of several samples that have it;
or it has none.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Protocol

import numpy as np

from notesmith.annotation.calibration import at_temperature
from notesmith.annotation.mentions import MentionAnnotator, with_score
from notesmith.annotation.prompt import Form, spans_of
from notesmith.config.annotators import LmAnnotateConfig
from notesmith.config.generator import SampleConfig, UnitConfig
from notesmith.document import Document, Entity, Provenance, Span
from notesmith.errors import ConfigError
from notesmith.markup_json import Mentions
from notesmith.ner.decode import score_of
from notesmith.progress import OnProgress, silent

if TYPE_CHECKING:
    from notesmith.lm.backends.server import ServerBackend
    from notesmith.lm.grammar import GrammarConstraint, TokenBytes
    from notesmith.lm.load import LanguageModel
    from notesmith.lm.samples import OnSamples, Sample

# The most probable token at each step, whatever the temperature.
_GREEDY = {"temperature": 0.01, "top_k": 1, "top_p": 1.0}


ANSWERS = "answers drawn"
"""What the number of answers is called among the counts of an annotator."""


class Log(Protocol):
    """Answers of an interrupted run by number, and where new ones are added."""

    finished: dict[int, Sample]

    def append(self, samples: Sequence[Sample]) -> None:
        """Keep ``samples``."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """What a language model says of documents.

    Attributes:
        docs: the documents in their order, with the mentions found and their scores.
        units: units read, equal ones once.
        answers: answers drawn.
        failures: what of the answers could not be used, by reason.
        tolerated: what was used although it is not as it should be, by what differs.
        tokens: drawn, in ``seconds``; those of an interrupted run are not counted.
    """

    docs: tuple[Document, ...]
    units: int
    answers: int
    failures: Mapping[str, int]
    tolerated: Mapping[str, int]
    tokens: int
    seconds: float


def check_served(config: LmAnnotateConfig) -> None:
    """See that a server can do what ``config`` asks for.

    Raises:
        ConfigError: it cannot.
    """
    if config.constrain:
        raise ConfigError(
            "a server cannot keep answers to a grammar; set annotate.lm.constrain to false (faulty "
            "answers are counted)"
        )
    if config.confidence == "tokens":
        raise ConfigError(
            "a server tells no probabilities of tokens; set annotate.lm.confidence to 'agreement' "
            "or 'none'"
        )


@dataclass(frozen=True, slots=True)
class LmAnnotator:
    """A language model that finds mentions.

    Attributes:
        lm: the model; with a server, its tokenizer alone is used, to cut notes.
        form: what is asked and how it is answered.
        units: how notes are cut.
        config: how answers are drawn.
        shots: gold examples that every prompt begins with; empty for a tuned model.
        server: answers in the place of ``lm``.
        seed: of samples.
        score_temperature: what scores are calibrated with (see ``calibration``); None leaves them.
        counts: failures so far, by reason.

    Raises:
        ConfigError: a server is asked for what it cannot do.
    """

    lm: LanguageModel
    form: Form
    units: UnitConfig
    config: LmAnnotateConfig
    shots: str = ""
    server: ServerBackend | None = None
    seed: int = 0
    score_temperature: float | None = None
    counts: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if self.server is not None:
            check_served(self.config)

    @property
    def name(self) -> str:
        """The model's name, and how it answers."""
        model = self.lm.name if self.server is None else self.server.model
        return f"{model}, {self.form.name}"

    @property
    def n_each(self) -> int:
        """Answers drawn for a unit."""
        return self.config.samples if self.config.confidence == "agreement" else 1

    def as_student(
        self, log: Callable[[Sequence[Document]], Log] | None = None
    ) -> MentionAnnotator:
        """The same with the methods of a student, to vote with others.

        Answers are counted as ``ANSWERS`` beside the failures. ``log`` opens the log of the answers
        about some documents, so that an interrupted call goes on from them.
        """

        def find(docs: Sequence[Document], on_progress: OnProgress) -> Iterable[Document]:
            kept = None if log is None else log(docs)
            made = self.label(
                docs,
                on_progress=on_progress,
                finished=None if kept is None else kept.finished,
                on_samples=None if kept is None else kept.append,
            )
            self.counts[ANSWERS] += made.answers
            return made.docs

        return MentionAnnotator(self.form.marks.labels, self.name, find, counts=self.counts)

    def label(
        self,
        docs: Sequence[Document],
        *,
        on_progress: OnProgress = silent,
        finished: Mapping[int, Sample] | None = None,
        on_samples: OnSamples | None = None,
    ) -> Labelled:
        """Find the mentions of ``docs``; what these carry is not looked at.

        Args:
            docs: documents of any length; they are cut into units.
            on_progress: told of units read.
            finished: answers of an interrupted run, by number.
            on_samples: given each batch of answers as it is done.

        Raises:
            StageError: a unit with its prompt does not fit the model's window.
        """
        from notesmith.lm.grammar import TokenBytes
        from notesmith.lm.sample import sample
        from notesmith.lm.samples import until_empty_line

        spans = [spans_of(doc.with_entities(()), self.units, self.lm) for doc in docs]
        places = [(d, span) for d, found in enumerate(spans) for span in found]
        texts = [docs[d].text[start:end] for d, (start, end) in places]
        distinct = list(dict.fromkeys(texts))
        asked = [text for text in distinct for _ in range(self.n_each)]
        prompts = [self.shots + self.form.prompt(text) for text in asked]
        tokens = None if self.server else TokenBytes.from_lm(self.lm)
        write = self.server.sample if self.server else partial(sample, self.lm)
        made = write(
            prompts,
            self._drawn(),
            seed=self.seed,
            constraint=self._constraints(distinct, tokens)
            if tokens and self.config.constrain
            else None,
            on_progress=on_progress,
            finished=finished,
            on_samples=on_samples,
        )
        samples = [until_empty_line(s) if self.shots else s for s in made.samples]
        answers = [
            self.form.read(text, one.text, ended=one.ended)
            for text, one in zip(asked, samples, strict=True)
        ]
        failures: Counter[str] = Counter()
        tolerated: Counter[str] = Counter()
        for answer in answers:
            failures.update(answer.failures)
            tolerated.update(answer.tolerated)
        self.counts.update(failures)
        if tokens is not None and self.config.confidence == "tokens":
            scored = self._by_tokens(prompts, samples, answers, tokens)
        elif self.config.confidence == "none":
            scored = [list(answer.entities) for answer in answers]
        else:
            n = self.n_each
            scored = [agreed(answers[i : i + n]) for i in range(0, len(answers), n)]
        found = {
            text: [self._calibrated(ent) for ent in own]
            for text, own in zip(distinct, scored, strict=True)
        }
        by_doc: dict[int, list[Entity]] = defaultdict(list)
        for (d, span), text in zip(places, texts, strict=True):
            by_doc[d] += [ent.shift(span[0]) for ent in found[text]]
        return Labelled(
            tuple(self._labelled(doc, by_doc[d]) for d, doc in enumerate(docs)),
            len(distinct),
            len(asked),
            dict(failures),
            dict(tolerated),
            made.tokens,
            made.seconds,
        )

    def _drawn(self) -> SampleConfig:
        config = self.config
        agreement = {"temperature": config.temperature, "top_k": 0, "top_p": 1.0}
        return SampleConfig(
            batch_size=config.batch_size,
            max_new_tokens=config.max_new_tokens,
            constrain="none",
            **(agreement if config.confidence == "agreement" else _GREEDY),
        )

    def _constraints(self, texts: Sequence[str], tokens: TokenBytes) -> list[GrammarConstraint]:
        """One for each answer; those of one unit share it."""
        from notesmith.lm.grammar import GrammarConstraint

        return [
            rule
            for text in texts
            for rule in [
                GrammarConstraint(tokens, partial(self.form.grammar, text), self.lm.eos_ids)
            ]
            for _ in range(self.n_each)
        ]

    def _by_tokens(
        self,
        prompts: Sequence[str],
        samples: Sequence[Sample],
        answers: Sequence[Mentions],
        tokens: TokenBytes,
    ) -> list[list[Entity]]:
        """The mentions of each answer with the mean probability of the tokens that name them."""
        from notesmith.lm.score import token_log_probs

        some = [i for i, answer in enumerate(answers) if answer.entities]
        logs = token_log_probs(
            self.lm, [prompts[i] for i in some], [samples[i].token_ids for i in some]
        )
        found: list[list[Entity]] = [[] for _ in answers]
        for i, own in zip(some, logs, strict=True):
            lengths = [len(tokens.of.get(token, b"")) for token in samples[i].token_ids]
            for ent, place in zip(answers[i].entities, answers[i].places, strict=True):
                score = _mean_probability(samples[i].text, place, lengths, own)
                found[i].append(with_score(ent, score))
        return found

    def _calibrated(self, ent: Entity) -> Entity:
        score = score_of(ent)
        if self.score_temperature is None or score is None:
            return ent
        return with_score(ent, at_temperature(score, self.score_temperature))

    def _labelled(self, doc: Document, entities: Sequence[Entity]) -> Document:
        """``doc`` with ``entities`` in the place of all that it carried."""
        named = tuple(replace(ent, id=f"T{i}") for i, ent in enumerate(entities, 1))
        return replace(
            doc.with_entities(named),
            concept_relations=(),
            masked=(),
            unknown=(),
            provenance=Provenance("silver", (doc.id,), self.name, "annotate", self.seed),
        )


def _mean_probability(
    text: str, place: Span, lengths: Sequence[int], logs: Sequence[float]
) -> float:
    """exp of the mean log-probability of the tokens that touch ``place`` of an answer.

    ``lengths`` are the tokens' bytes.
    """
    encoded = [len(part.encode(errors="replace")) for part in (text[: place[0]], text[: place[1]])]
    ends = np.array(list(accumulate(lengths)))
    start, end = encoded
    begins = ends - np.array(lengths)
    own = np.flatnonzero((begins < end) & (ends > start))
    return float(np.exp(np.mean(np.array(logs)[own]))) if len(own) else 0.0


def agreed(answers: Sequence[Mentions]) -> list[Entity]:
    """The mentions of several answers about one text, each with the share of answers that have it.

    Of those that overlap the one that most answers have stays; of these the longest, then the
    first. Attributes are those that most of its answers give.
    """
    votes: Counter[tuple[int, int, str]] = Counter()
    attributes: dict[tuple[int, int, str], Counter[str]] = defaultdict(Counter)
    for answer in answers:
        for ent in answer.entities:
            key = (ent.start, ent.end, ent.label)
            votes[key] += 1
            attributes[key].update(ent.attributes)
    kept: list[tuple[int, int, str]] = []
    for key in sorted(votes, key=lambda k: (-votes[k], k[0] - k[1], k)):
        if all(key[1] <= start or end <= key[0] for start, end, _ in kept):
            kept.append(key)
    found: list[Entity] = []
    for key in sorted(kept):
        own = tuple(a for a, n in attributes[key].items() if 2 * n > votes[key])
        ent = Entity(f"T{len(found) + 1}", key[2], ((key[0], key[1]),), own)
        found.append(with_score(ent, votes[key] / len(answers)))
    return found
