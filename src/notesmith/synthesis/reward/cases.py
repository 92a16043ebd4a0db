"""Texts ready to be scored: parsed, labelled by source, sorted into what was asked and what not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from notesmith.document import Document, Provenance
from notesmith.errors import StageError
from notesmith.filters.candidate import Candidate
from notesmith.filters.rules import n_repeated
from notesmith.lm.rollout import Rollout
from notesmith.markup import Marks, from_lm, parse
from notesmith.metrics import fold_mention
from notesmith.synthesis.decode import Lexicon, candidates_of
from notesmith.synthesis.prompt import whole_text
from notesmith.synthesis.requests import Request
from notesmith.synthesis.reward import parts
from notesmith.synthesis.reward.gates import Gates
from notesmith.synthesis.reward.parts import Mark


@dataclass(frozen=True, slots=True)
class Task:
    """What the generator is asked, by prompt number, and how its labels are decided.

    ``lexicon`` holds the approved names, gold's included; ``reserved`` the tokens that no text may
    hold besides ``marks``.
    """

    requests: Sequence[Request]
    marks: Marks
    lexicon: Lexicon
    reserved: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """One text to be scored.

    ``doc`` has labels by source, with ranges nobody asked for masked, or is None where the text
    does not parse; ``gate`` names the first failed check. The committee judges ``unasked``, the
    marks nobody asked for, and has no say about ``settled`` ones or ``unknown`` ranges.
    ``n_missing`` counts requested mentions that are not marked, and requested attributes that none
    of them carries; ``n_repeated`` counts mentions of
    requested names beyond those asked for.
    """

    id: str
    doc: Document | None
    gate: str | None = None
    unasked: tuple[Mark, ...] = ()
    settled: tuple[Mark, ...] = ()
    unknown: tuple[Mark, ...] = ()
    request: Request | None = None
    n_missing: int = 0
    n_repeated: int = 0

    @property
    def n_mentions(self) -> int:
        """Mentions in the text, those that nobody asked for included."""
        return len(self.settled) + len(self.unasked)

    @property
    def n_words(self) -> int:
        """White-space words; 0 where the text does not parse."""
        return len(self.doc.text.split()) if self.doc else 0

    @property
    def coverage(self) -> float:
        """Share of the requested mentions and attributes marked; 1 where none was requested."""
        asked = self.request
        n_wanted = len(asked.mentions) + sum(map(len, asked.attributes)) if asked else 0
        return parts.coverage(self.n_missing, n_wanted)

    def density(self, usual: float) -> float:
        """``parts.density`` of the text for its request; 0 without one."""
        if self.request is None:
            return 0.0
        return parts.density(
            self.n_mentions,
            self.n_words,
            wanted_mentions=len(self.request.mentions),
            wanted_words=max(1, self.request.words),
            usual=usual,
        )


def cases_of_rollouts(rollouts: Sequence[Rollout], task: Task, gates: Gates) -> list[Case]:
    """Parse and label completions, and let them pass the gates, in order.

    Raises:
        StageError: a rollout answers a prompt that the task does not have.
    """
    asked: list[Request] = []
    for i, rollout in enumerate(rollouts):
        if not 0 <= rollout.prompt < len(task.requests):
            raise StageError(
                f"a completion answers prompt {rollout.prompt} of {len(task.requests)}"
            )
        request = task.requests[rollout.prompt]
        # Ids tell the completions of one request apart.
        asked.append(replace(request, id=f"{request.id}.{i}"))
    candidates = candidates_of(
        asked,
        [whole_text(r, rollout.text) for r, rollout in zip(asked, rollouts, strict=True)],
        [rollout.ended for rollout in rollouts],
        marks=task.marks,
        lexicon=task.lexicon,
        provenance=Provenance("synthetic", stage="reward"),
        reserved=task.reserved,
    )
    return [
        _case(candidate, request, task, gates)
        for candidate, request in zip(candidates, asked, strict=True)
    ]


def _case(candidate: Candidate, request: Request, task: Task, gates: Gates) -> Case:
    doc = candidate.result
    if not isinstance(doc, Document):
        return Case(candidate.id, None, gates.first_failed(candidate), request=request)
    # Labels by source forget the label of a mark that nobody asked for; the text has it.
    written = parse(from_lm(candidate.marked, task.marks).strip(), task.marks, doc_id=doc.id)
    assert isinstance(written, Document)
    masked = set(doc.masked)
    settled = tuple(map(Mark.of, doc.entities))
    marks = [Mark.of(e) for e in written.entities if (e.start, e.end) in masked]
    n_missing = parts.n_unmarked(written, request.mentions)
    return Case(
        id=doc.id,
        doc=doc,
        # As written: a mark inside a word is a fault even where its label is unknown.
        gate=gates.first_failed(replace(candidate, result=written, missing=n_missing)),
        unasked=tuple(mark for mark in marks if mark not in settled),
        settled=settled,
        request=request,
        n_missing=n_missing + candidate.missing_attributes,
        # Labels by source mark a name wherever it stands, marked by the generator or not.
        n_repeated=n_repeated(doc, request.mentions),
    )


def cases_of_documents(docs: Sequence[Document], lexicon: Lexicon, gates: Gates) -> list[Case]:
    """Sort the labels of documents: approved names are settled, all others are judged."""
    cases: list[Case] = []
    for doc in docs:
        approved = [
            lexicon.labels.get(fold_mention(e.mention(doc.text))) == e.label for e in doc.entities
        ]
        marks = list(zip(map(Mark.of, doc.entities), approved, strict=True))
        cases.append(
            Case(
                id=doc.id,
                doc=doc,
                gate=gates.first_failed(Candidate(doc.id, "", doc)),
                unasked=tuple(mark for mark, known in marks if not known),
                settled=tuple(mark for mark, known in marks if known),
                unknown=tuple(Mark((span,), "") for span in doc.masked),
            )
        )
    return cases
