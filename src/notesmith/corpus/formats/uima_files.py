"""Open the files of a UIMA CAS with ``dkpro-cassis``: XMI with its type system, zip, JSON.

A file of another's making is checked before cassis sees it. It makes Python code of the names of
features, so that one which is no identifier is refused; document type definitions are; a zip is
read in memory up to a size. Where cassis passes over what is wrong (an offset that does not exist,
two structures with one id), it is an error here. No message holds what stands in a file.
"""

from __future__ import annotations

import io
import json
import re
import struct
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from importlib import import_module
from pathlib import Path, PurePosixPath
from typing import Any

from notesmith.corpus.formats.uima_types import with_inferred_types
from notesmith.corpus.problems import Tally
from notesmith.errors import CorpusError, MissingExtraError, OffsetError
from notesmith.files.read import MIB, UNPACKING_ERRORS, Budget, open_file, read_bytes

_ZIP_ERRORS = (
    *(*UNPACKING_ERRORS, zipfile.BadZipFile, zipfile.LargeZipFile, struct.error),
    *(OSError, RuntimeError, ValueError, LookupError),
)
_INFERRED = "files without TypeSystem.xml, their types inferred"
_DECLARATION = re.compile(r"\A\s*<\?xml\b[^>]*\?>")


def require_cassis() -> Any:
    """The module ``cassis``.

    Raises:
        MissingExtraError: it is absent.
    """
    try:
        return import_module("cassis")
    except ModuleNotFoundError as error:
        raise MissingExtraError("dkpro-cassis", "inception") from error


def is_cas(path: Path, head: str) -> bool:
    """Whether ``path``, a file that begins with ``head``, holds a CAS."""
    suffix = path.suffix.lower()
    if suffix == ".zip":
        try:
            with open_file(path) as file, zipfile.ZipFile(file) as archive:
                return any(name.lower().endswith(".xmi") for name in archive.namelist())
        except _ZIP_ERRORS:
            return False
    return suffix == ".xmi" or (suffix == ".json" and '"%TYPES"' in head)


def open_cas(path: Path, tally: Tally) -> Iterator[Any]:
    """Every CAS of a file, its offsets in code points.

    The types of an XMI without a ``TypeSystem.xml`` are inferred, which is counted.

    Raises:
        MissingExtraError: dkpro-cassis is absent.
        CorpusError: the file cannot be read as a CAS.
    """
    cassis = require_cassis()
    data = read_bytes(path)
    suffix = path.suffix.lower()
    if suffix == ".json":
        yield _cas(lambda: cassis.load_cas_from_json(_checked_json(data)))
    elif suffix == ".zip":
        members = _members(data)
        types = [data for name, data in members.items() if _is_types(name)]
        documents = [data for name, data in members.items() if name.lower().endswith(".xmi")]
        if not documents:
            raise CorpusError("holds no .xmi; unzip a whole project, and name its folder curation")
        if len(types) > 1:
            raise CorpusError(f"holds {len(types)} TypeSystem.xml, not one; export it again")
        tally.note(_INFERRED, 0 if types else len(documents))
        for document in documents:
            yield _from_xmi(document, types[0] if types else None, cassis)
    else:
        beside = [file for file in path.parent.iterdir() if _is_types(file.name)]
        tally.note(_INFERRED, not beside)
        yield _from_xmi(data, read_bytes(beside[0]) if beside else None, cassis)


def _is_types(name: str) -> bool:
    return PurePosixPath(name).name.lower() == "typesystem.xml"


def _members(data: bytes) -> dict[str, bytes]:
    """The files of a zip, in memory: a name in it is never a path on disk."""
    budget = Budget.unpacking("", len(data))
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = [i for i in archive.infolist() if i.filename.lower().endswith((".xmi", ".xml"))]
            return {info.filename: _member(archive, info, budget) for info in infos}
    except CorpusError:
        raise
    except _ZIP_ERRORS as error:
        raise CorpusError(
            f"no zip that can be read ({type(error).__name__}); is the file cut off?"
        ) from None


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, budget: Budget) -> bytes:
    """A file of a zip, counted while it comes, for its size in the zip is only a word."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # Others unpack a block of any size at once.
        raise CorpusError("is packed in another way than deflate; zip it anew")
    pieces = []
    with archive.open(info) as file:
        while piece := file.read(MIB):
            budget.spend(len(piece))
            pieces.append(piece)
    return b"".join(pieces)


def _xml(data: bytes, what: str) -> bytes:
    """XML as UTF-8 without a declaration, so that no other encoding can hide what is refused."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CorpusError(f"{what}: byte {error.start} is not UTF-8; convert it first") from None
    if "\0" in text:
        raise CorpusError(f"{what} holds a null character, as UTF-16 does; convert it to UTF-8")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise CorpusError(f"{what} holds a document type definition, which is refused; remove it")
    return _DECLARATION.sub("", text).encode("utf-8")


def _from_xmi(document: bytes, types: bytes | None, cassis: Any) -> Any:
    """The CAS of an XMI; its types are inferred if it has none."""
    data = _xml(document, "the XMI")
    if types is not None:
        typesystem = _typesystem(_xml(types, "TypeSystem.xml"))
    else:
        data, typesystem = with_inferred_types(data, cassis)
    ids = Counter(re.findall(rb'\bxmi:id="([0-9]{1,19})"', data))
    for name, n in ids.most_common(1):
        if n > 1:
            raise CorpusError(f"xmi:id {name.decode()} stands {n} times; export it again")
    return _cas(lambda: cassis.load_cas_from_xmi(io.BytesIO(data), typesystem))


@lru_cache(maxsize=2)
def _typesystem(data: bytes) -> Any:
    """A type system; the documents of a corpus share one."""
    try:
        with warnings.catch_warnings(action="ignore"):  # Of names that cassis changes for itself.
            typesystem = require_cassis().load_typesystem(io.BytesIO(data))
    except Exception as error:
        raise CorpusError(f"TypeSystem.xml: {_why(error)}") from None
    for kind in typesystem.get_types():
        _check_names(feature.name for feature in kind.features)
    return typesystem


def _check_names(names: Iterable[str]) -> None:
    """Refuse what is no identifier: cassis makes Python code of feature names."""
    if not all(isinstance(name, str) and name.isidentifier() for name in names):
        raise CorpusError("a feature's name is no identifier (letters, digits, _); rename it")


def _checked_json(data: bytes) -> str:
    """The text of a JSON CAS that names no two structures alike and no feature oddly."""
    try:
        text = data.decode("utf-8-sig")
        record = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise CorpusError(
            f"not JSON in UTF-8 ({type(error).__name__}{line}); is it cut off?"
        ) from None
    parts = {"%TYPES": dict, "%FEATURE_STRUCTURES": list, "%VIEWS": dict}
    if not isinstance(record, dict) or not all(
        isinstance(record.get(name), kind) for name, kind in parts.items()
    ):
        raise CorpusError("no UIMA CAS JSON 0.4; export it so (the legacy JSON is not read)")
    structures, kinds = record["%FEATURE_STRUCTURES"], record["%TYPES"].values()
    if not all(isinstance(part, dict) for part in [*structures, *kinds]):
        raise CorpusError("a type or structure is no object; is it UIMA CAS JSON 0.4?")
    _check_names(name for kind in kinds for name in kind if not name.startswith("%"))
    ids = Counter(str(fs.get("%ID")) for fs in structures)
    if any(n > 1 for n in ids.values()):
        raise CorpusError("two structures have one %ID; export it again")
    return text


def _cas(load: Callable[[], Any]) -> Any:
    """What ``load`` gives, with an offset that cassis passes over as an error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            cas = load()
        except CorpusError:
            raise
        except Exception as error:  # Those of cassis, lxml and attrs have no common root.
            raise CorpusError(_why(error)) from None
    for warning in caught:
        if match := re.match(r"Not mapping external offset \[(-?[0-9]+)\]", str(warning.message)):
            raise OffsetError(
                f"offset {match.group(1)} is past the text or inside a character; "
                "correct it (a CAS counts UTF-16 units)"
            )
    if not isinstance(cas.sofa_string, str):
        raise CorpusError("holds no text (sofaString of _InitialView)")
    return cas


def _why(error: Exception) -> str:
    name = type(error).__name__
    if name == "XMLSyntaxError":
        line, column = getattr(error, "position", (0, 0))
        return f"not well-formed XML 1.0 (line {line}, column {column}); is the file cut off?"
    if name == "TypeNotFoundError":
        return "the type system lacks a type that is used; give the one it was exported with"
    return f"cassis cannot read it ({name}); is it whole, and its type system the right one?"
