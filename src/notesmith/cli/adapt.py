"""``notesmith adapt``: let an encoder read notes, without labels, before a student learns."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from notesmith.cli.reading import IdField, TextField, reads_documents
from notesmith.cli.screen import say
from notesmith.cli.train import moving_line
from notesmith.config.corpus import ReadingConfig
from notesmith.config.student import AdaptConfig
from notesmith.errors import ConfigError

if TYPE_CHECKING:
    from notesmith.ner.adapt import Adapted

# Nats; a smaller rise of the held-out loss is noise.
_RISEN = 0.02


@reads_documents(without=("label_map", "unknown"))
def adapt(
    notes: Annotated[
        list[Path],
        typer.Argument(
            metavar="NOTES",
            help="Plain texts (.txt, .text; --format text), JSON lines or Parquet of plain notes, "
            "or a corpus of any format; several may be named.",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder to make for the encoder.")],
    options: ReadingConfig,
    encoder: Annotated[
        str, typer.Option(help="Encoder to begin with: preset, folder, or a hub's ORG/NAME.")
    ] = "minilm",
    held_out: Annotated[
        list[Path] | None,
        typer.Option(
            "--held-out",
            help="Documents that must not be read, such as dev and test; notes with their text or "
            "their patients are left out; repeatable.",
        ),
    ] = None,
    epochs: Annotated[
        float | None, typer.Option(help="Passes over the notes; 3 if nothing is given.")
    ] = None,
    tokens: Annotated[int | None, typer.Option(help="Word pieces to learn from.")] = None,
    hours: Annotated[float | None, typer.Option(help="Hours to learn.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="adapt.FIELD=VALUE", help="Change a setting; repeatable."),
    ] = None,
    text_field: TextField = None,
    id_field: IdField = None,
    hub: Annotated[
        bool, typer.Option("--hub", help="Allow fetching the encoder from a model hub.")
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help="Seed of new weights, order and masks.")] = 13,
) -> None:
    """Adapt an encoder to NOTES: it learns to fill in words that are masked. No label is needed.

    The folder is an encoder as any other: train --set ner.encoder=FOLDER, or the same in a recipe.
    A recipe can also adapt encoders itself, for arms with adapted = true, and compare them.
    Notes are read as a stream and learnt once each, however often they stand there. You can stop
    the command at any moment; the same command goes on. Until it is finished, FOLDER.work holds
    the notes. The encoder may know parts of the notes by heart: guard it as you guard them.
    """
    from notesmith.corpus.formats.json_values import NoteFields
    from notesmith.corpus.notes import find_notes
    from notesmith.corpus.outside import outside_of
    from notesmith.corpus.problems import Tally
    from notesmith.corpus.splits import find_splits
    from notesmith.ner.adapt import adapt_encoder, work_folder
    from notesmith.ner.encoder import have_encoder

    config = adapt_config(changes or (), epochs=epochs, tokens=tokens, hours=hours)
    fields = NoteFields(text_field, id_field)
    sources = [(path, find_notes(path, options, fields=fields)) for path in notes]
    for path in notes:
        parts = find_splits(path) if path.is_dir() and options.format != "text" else {}
        if {"train", "test"} <= parts.keys() and not held_out:
            say(
                f"{path}: the encoder reads {', '.join(parts)}; name those that will be scored "
                "with --held-out",
                err=True,
            )
    of_others = options.model_copy(update={"format": None})
    others = [(path, find_notes(path, of_others)) for path in held_out or ()]
    outside = outside_of(doc for _, docs in others for doc in docs(Tally.of(of_others)))
    encoder = have_encoder(encoder, fetch=hub)

    counts: Counter[str] = Counter()

    def texts() -> Iterator[str]:
        for path, docs in sources:
            tally = Tally.of(options)
            for doc in outside(docs(tally), counts):
                yield doc.text
            for what, n in sorted(tally.counts.items()):
                if n:
                    say(f"{path.name}: {n:,} {what}", err=True)

    try:
        with moving_line() as on_progress:
            found = adapt_encoder(
                texts(), encoder=encoder, config=config, out=out, seed=seed, on_progress=on_progress
            )
    except KeyboardInterrupt:
        kept = work_folder(out).is_dir()
        goes_on = (
            "the same command goes on with its last state" if kept else "no state was saved yet"
        )
        say(f"notesmith: interrupted; {goes_on}", err=True)
        raise typer.Exit(130) from None
    for what, n in sorted(counts.items()):
        say(f"{n:,} {what}", err=True)
    _print(found)


def adapt_config(
    changes: Sequence[str],
    *,
    epochs: float | None,
    tokens: int | None,
    hours: float | None,
) -> AdaptConfig:
    """The default ``AdaptConfig`` with ``adapt.FIELD=VALUE`` changes and a length, if one is given.

    Raises:
        ConfigError: a change is not written so, a field or value is wrong, or several lengths.
    """
    from pydantic import ValidationError

    from notesmith.experiment.recipes import apply_change

    lengths = {"epochs": epochs, "tokens": tokens, "hours": hours}
    given = {name: value for name, value in lengths.items() if value is not None}
    values: dict[str, Any] = {"adapt": {}}
    for change in changes:
        if not re.match(r"\s*adapt\.[^=]+=", change):
            raise ConfigError(f"--set {change!r}: write it as adapt.FIELD=VALUE")
        apply_change(values, change)
    said = [f"--{name}" for name in given]
    said += [f"--set adapt.{name}" for name in lengths if name in values["adapt"]]
    if len(said) > 1:
        raise ConfigError(f"{' and '.join(said)} say how long to learn; give one of them")
    try:
        return AdaptConfig.model_validate({**values["adapt"], **given})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in ("adapt", *first["loc"]))
        raise ConfigError(f"{where}: {first['msg']}") from None


def _print(found: Adapted) -> None:
    from notesmith.cli.progress import duration

    if not found.is_new:
        say(f"{found.folder} is finished already; nothing was computed.")
    first, last = found.losses[found.before], found.losses[-1]
    counts = ", ".join(f"{n:,} {what}" for what, n in found.counts.items())
    say(
        f"{found.folder}: {counts}; {found.tokens:,} word pieces in {duration(found.seconds)}"
        + (f" ({found.tokens / found.seconds:,.0f} a second)" if found.seconds else "")
    )
    say(
        f"Held-out loss {first.loss:.3f} before, {last.loss:.3f} after; perplexity "
        f"{first.perplexity:,.1f} before, {last.perplexity:,.1f} after."
    )
    best = min(found.losses, key=lambda each: each.loss)
    if last.loss > best.loss + _RISEN:
        say(
            f"The held-out loss was lowest ({best.loss:.3f}) after {best.tokens:,} word pieces: "
            "learn from fewer (--tokens), or give more notes.",
            err=True,
        )
    say(
        "The encoder may know parts of the notes by heart, and so may students trained from it: "
        "guard it as you guard the notes."
    )
    change = shlex.quote(f"ner.encoder={found.folder}")
    say(f"Next: notesmith train GOLD --out MODEL --set {change}")
