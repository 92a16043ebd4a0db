"""Notes as two streams of word pieces on disk, one to learn from and one held out, cut into blocks.

Notes stand one after the other with a separator between them, so a block needs no padding: a long
note goes on in the next block, and short ones share one.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from notesmith.errors import ModelError, StageError
from notesmith.files.write import FILE_MODE, atomic_write_text, explained
from notesmith.progress import OnProgress, Progress

_LEARNT, _HELD_OUT, _ABOUT = "learnt.tokens", "held-out.tokens", "tokens.json"
NOTES, REPEATED, HELD_OUT = "notes", "repeated notes", "held-out notes"
# Word pieces that a loss is measured on at most; notes that would add to them are learnt from.
MOST_HELD_OUT = 32_768
_CHUNK_CHARS = 1 << 20
_CHUNK_NOTES = 1024
# Of 2 ** 64, the number that a note's hash is.
_HASHES = 1 << 64


@dataclass(frozen=True, slots=True)
class Special:
    """Token ids with a role of their own; ``all`` are those that are never masked or predicted."""

    first: int
    last: int
    mask: int
    all: frozenset[int]

    @classmethod
    def of(cls, tokenizer: Any, name: str) -> Special:
        """Those of a tokenizer.

        Raises:
            ModelError: it has no mask, or nothing that begins and ends a text.
        """
        ids = (tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.mask_token_id)
        if any(i is None for i in ids):
            raise ModelError(
                f"{name}: its tokenizer has no mask, or no token that begins or ends a text; name "
                "an encoder that was trained as a masked language model"
            )
        return cls(*ids, frozenset(tokenizer.all_special_ids))


@dataclass(frozen=True, slots=True)
class Written:
    """What the streams hold; ``digest`` tells these notes in this order from all others."""

    digest: str
    n_notes: int
    n_repeated: int
    n_held_out: int
    n_learnt_tokens: int
    n_held_out_tokens: int

    @property
    def counts(self) -> Counter[str]:
        """Notes by what became of them."""
        return Counter({NOTES: self.n_notes, REPEATED: self.n_repeated, HELD_OUT: self.n_held_out})


@dataclass(frozen=True, slots=True)
class Streams:
    """The word pieces of notes (one dimension), on disk."""

    learnt: NDArray[np.unsignedinteger[Any]]
    held_out: NDArray[np.unsignedinteger[Any]]
    about: Written


def digest_of(texts: Iterable[str]) -> str:
    """The digest that ``write_streams`` gives ``texts``."""
    digest = hashlib.sha256()
    for text in texts:
        _add(digest, text)
    return digest.hexdigest()


def _add(digest: Any, text: str) -> None:
    data = text.encode("utf-8", "surrogatepass")
    digest.update(len(data).to_bytes(8, "big"))
    digest.update(data)


def write_streams(
    texts: Iterable[str],
    folder: Path,
    *,
    tokenizer: Any,
    special: Special,
    held_out_ratio: float,
    on_progress: OnProgress,
) -> None:
    """Tokenize ``texts`` into files of ``folder``; memory holds a few notes and a hash of each.

    A note that repeats another but for white space is left out. About ``held_out_ratio`` of the
    notes are held out, chosen by their hash, until these hold ``MOST_HELD_OUT`` word pieces; the
    first note always is.

    Raises:
        FileError: the disk is full.
    """
    digest, seen, counts = hashlib.sha256(), set[int](), Counter[str]()
    kind = dtype_of(tokenizer)
    with ExitStack() as stack:
        stack.enter_context(explained(folder / _LEARNT))
        files = [stack.enter_context(_private(folder / name)) for name in (_LEARNT, _HELD_OUT)]
        sizes = [0, 0]
        for chunk in _chunks(texts):
            new: list[tuple[str, int]] = []
            for text in chunk:
                _add(digest, text)
                key = _hash(text)
                counts["notes"] += 1
                if key in seen:
                    counts["repeated"] += 1
                    continue
                new.append((text, key))
                seen.add(key)
            for (_, key), ids in zip(new, _tokenize(tokenizer, [t for t, _ in new]), strict=True):
                chosen = key < held_out_ratio * _HASHES and sizes[1] < MOST_HELD_OUT
                part = int(bool(ids) and (chosen or sizes[1] == 0))
                counts["held out"] += part
                row = np.array([*ids, special.last], dtype=kind)
                files[part].write(row.tobytes())
                sizes[part] += len(row)
            on_progress(Progress("read notes", counts["notes"], counts["notes"], "notes"))
    about = Written(
        digest.hexdigest(), counts["notes"], counts["repeated"], counts["held out"], *sizes
    )
    atomic_write_text(folder / _ABOUT, json.dumps(asdict(about)))


def _private(path: Path) -> IO[bytes]:
    path.unlink(missing_ok=True)
    path.touch(mode=FILE_MODE)
    return path.open("wb")


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    n_chars = 0
    for text in texts:
        chunk.append(text)
        n_chars += len(text)
        if n_chars >= _CHUNK_CHARS or len(chunk) == _CHUNK_NOTES:
            yield chunk
            chunk, n_chars = [], 0
    if chunk:
        yield chunk


def _hash(text: str) -> int:
    folded = " ".join(text.split()).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(folded, digest_size=8).digest(), "big")


def _tokenize(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    if not texts:
        return []
    found: list[list[int]] = tokenizer(
        list(texts),
        add_special_tokens=False,
        truncation=False,
        padding=False,
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,
    )["input_ids"]
    return found


def dtype_of(tokenizer: Any) -> type[np.unsignedinteger[Any]]:
    """The smallest type that holds every token id."""
    return np.uint16 if len(tokenizer) <= 1 << 16 else np.uint32


def read_written(folder: Path) -> Written:
    """What the streams in ``folder`` hold."""
    return Written(**json.loads((folder / _ABOUT).read_text("utf-8")))


def read_streams(folder: Path, *, tokenizer: Any, block_tokens: int) -> Streams:
    """Open what ``write_streams`` wrote.

    Raises:
        StageError: too little was written to learn from, or the files are damaged.
    """
    about = read_written(folder)
    needed = block_tokens - 2
    for what, n in (("learn from", about.n_learnt_tokens), ("measure", about.n_held_out_tokens)):
        if not n or (what == "learn from" and n < needed):
            raise StageError(
                f"the notes hold {n:,} word pieces to {what}, and at least {needed:,} are needed; "
                "give more notes"
            )
    kind = dtype_of(tokenizer)
    parts = []
    for name, n in ((_LEARNT, about.n_learnt_tokens), (_HELD_OUT, about.n_held_out_tokens)):
        path = folder / name
        if not path.is_file() or path.stat().st_size != n * np.dtype(kind).itemsize:
            raise StageError(f"{path}: not as it was written; remove {folder} and begin anew")
        parts.append(np.memmap(path, dtype=kind, mode="r"))
    return Streams(parts[0], parts[1], about)


def used_ids(streams: Streams, special: Special, n_ids: int) -> NDArray[np.int64]:
    """Token ids that occur, special ones among them, in order."""
    used = np.zeros(n_ids, dtype=bool)
    used[list(special.all | {special.first, special.last, special.mask})] = True
    for stream in (streams.learnt, streams.held_out):
        for start in range(0, len(stream), 1 << 20):
            used[stream[start : start + (1 << 20)]] = True
    return np.flatnonzero(used)


@dataclass(frozen=True, slots=True)
class Masking:
    """How pieces become questions.

    ``continues`` says of each token id whether it goes on with the word before it, ``fixed``
    whether it is never masked; ``random`` are the ids that may stand in for another.
    """

    mask: int
    ratio: float
    continues: NDArray[np.bool_]
    fixed: NDArray[np.bool_]
    random: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        tokenizer: Any,
        special: Special,
        used: NDArray[np.int64],
        *,
        n_ids: int,
        ratio: float,
        whole_words: bool,
    ) -> Masking:
        """Masking of words, or of single pieces, of which ``used`` occur.

        Raises:
            StageError: no piece occurs that could be predicted.
        """
        fixed = np.zeros(n_ids, dtype=bool)
        fixed[list(special.all)] = True
        continues = np.zeros(n_ids, dtype=bool)
        if whole_words:
            for piece, i in tokenizer.get_vocab().items():
                continues[i] = not fixed[i] and _continues(piece, has_marks=_has_marks(tokenizer))
        random = used[~fixed[used]]
        if not len(random):
            raise StageError(
                "the notes hold no word piece that the encoder knows; name an encoder of their "
                "language"
            )
        return cls(special.mask, ratio, continues, fixed, random)

    def draw(
        self, ids: NDArray[np.int64], rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Hide words of ``ids`` (blocks, pieces).

        Returns what the encoder sees (blocks, pieces) and the places, in the flattened array, of
        the pieces to be predicted. Of these 80% become the mask, 10% any other piece and 10% stay
        (Devlin et al. 2019).
        """
        flat = ids.ravel()
        word = np.cumsum(~self.continues[flat]) - 1
        chosen = (rng.random(word[-1] + 1) < self.ratio)[word] & ~self.fixed[flat]
        places = np.flatnonzero(chosen)
        if not len(places):  # a few short notes; a mean needs one
            places = np.flatnonzero(~self.fixed[flat])[:1]
        if not len(places):  # blocks without a known piece
            places = np.array([1])
        how = rng.random(len(places))
        others = self.random[rng.integers(len(self.random), size=len(places))]
        seen = flat.copy()
        seen[places] = np.where(how < 0.8, self.mask, np.where(how < 0.9, others, flat[places]))
        return seen.reshape(ids.shape), places


def _has_marks(tokenizer: Any) -> bool:
    """Whether pieces that continue a word are marked (WordPiece); else those that begin one are."""
    return getattr(tokenizer.backend_tokenizer.model, "continuing_subword_prefix", None) == "##"


def _continues(piece: str, *, has_marks: bool) -> bool:
    return piece.startswith("##") if has_marks else not piece.startswith(("Ġ", "Ċ", "▁"))


def blocks_at(
    stream: NDArray[np.unsignedinteger[Any]],
    starts: Sequence[int],
    special: Special,
    block_tokens: int,
) -> NDArray[np.int64]:
    """Blocks (starts, block_tokens) of the pieces from each start, between first and last token."""
    blocks = np.full((len(starts), block_tokens), special.last, dtype=np.int64)
    blocks[:, 0] = special.first
    for row, start in zip(blocks, starts, strict=True):
        row[1:-1] = stream[start : start + block_tokens - 2]
    return blocks


class Order:
    """Where the blocks of each step begin: a pure function of the step. State: one pass's order.

    Every pass goes through all blocks once, in an order and from an offset of its own.
    """

    def __init__(self, n_tokens: int, *, width: int, batch: int, seed: int) -> None:
        """Blocks of ``width`` pieces, ``batch`` a step, of a stream of ``n_tokens``."""
        self._n, self._width, self._batch, self._seed = n_tokens, width, batch, seed
        self.n_blocks = n_tokens // width
        self._pass = -1
        self._starts = np.zeros(0, dtype=np.int64)

    def starts(self, step: int) -> list[int]:
        """First pieces of the blocks of ``step`` (from 0)."""
        found = []
        for index in range(step * self._batch, (step + 1) * self._batch):
            number, place = divmod(index, self.n_blocks)
            if number != self._pass:
                self._shuffle(number)
            found.append(int(self._starts[place]))
        return found

    def _shuffle(self, number: int) -> None:
        rng = np.random.default_rng([self._seed, 1, number])
        offset = rng.integers(self._n - self.n_blocks * self._width + 1)
        self._starts = offset + self._width * rng.permutation(self.n_blocks)
        self._pass = number
