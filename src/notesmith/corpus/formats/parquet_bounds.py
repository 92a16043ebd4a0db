"""Bound what a Parquet file may unpack to, before it is read.

A few kilobytes can stand for gigabytes: a dictionary holds one long string once, and a page repeats
it a billion times. The footer is not believed, because the reader follows the headers of the pages.
They are walked here (Thrift's compact protocol), and the lengths of strings are counted while they
are still numbers of a dictionary. Source: https://github.com/apache/parquet-format
(``parquet.thrift``, ``Encodings.md``) and Thrift's ``thrift-compact-protocol.md``.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from notesmith.errors import CorpusError
from notesmith.files.read import MIB, Budget

# Two levels and a number of the dictionary, in memory.
_VALUE_BYTES = 8
_BATCH = 128
# Statistics in a header may hold two long values.
_HEADER_BYTES = MIB
_MAX_DEPTH = 8
_DAMAGED = "not Parquet that can be read (a page's header is damaged); is the file cut off?"


def check(data: Any, file: Any, columns: Collection[str], budget: Budget) -> None:
    """Count what ``columns`` of a file unpack to.

    Args:
        data: the file, a ``pyarrow.NativeFile``.
        file: the ``pyarrow.parquet.ParquetFile`` of them.
        columns: the names of the columns that will be read.
        budget: the bytes that may come of them.

    Raises:
        CorpusError: they are too many, or a page's header is damaged.
    """
    from pyarrow.parquet import ParquetFile

    metadata = file.metadata
    strings = set()
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for chunk in map(group.column, range(group.num_columns)):
            if chunk.path_in_schema.partition(".")[0] in columns:
                _check_pages(data, chunk, budget)
                if chunk.physical_type == "BYTE_ARRAY":
                    strings.add(chunk.path_in_schema)
    data.seek(0)
    numbered = ParquetFile(data, read_dictionary=sorted(strings), pre_buffer=False)
    names = sorted({path.partition(".")[0] for path in strings})
    for batch in numbered.iter_batches(batch_size=_BATCH, columns=names) if names else ():
        for column in batch.columns:
            budget.spend(_n_bytes(column))


def _n_bytes(column: Any) -> int:
    """Bytes of all strings of an Arrow array, lists taken apart."""
    import pyarrow.compute as pc
    from pyarrow.types import is_dictionary, is_large_list, is_list

    while is_list(column.type) or is_large_list(column.type):
        column = column.flatten()
    if not is_dictionary(column.type):
        return int(column.nbytes)
    lengths = pc.cast(pc.binary_length(column.dictionary), "int64")
    return int(pc.sum(lengths.take(column.indices)).as_py() or 0)


def _check_pages(data: Any, chunk: Any, budget: Budget) -> None:
    starts = [chunk.data_page_offset]
    if chunk.has_dictionary_page and chunk.dictionary_page_offset is not None:
        starts.append(chunk.dictionary_page_offset)
    at = min(starts)
    end = at + chunk.total_compressed_size
    if at < 0 or chunk.total_compressed_size < 0:
        raise CorpusError(_DAMAGED)
    while at < end:
        data.seek(at)
        header = _Header(data.read(min(_HEADER_BYTES, end - at)))
        page = header.struct()
        kinds = (page.get(5), page.get(7), page.get(8))
        counts = [kind.get(1) for kind in kinds if isinstance(kind, dict)]
        numbers = [n for n in (page.get(2), page.get(3), *counts) if isinstance(n, int) and n >= 0]
        if len(numbers) != 2 + len(counts):
            raise CorpusError(_DAMAGED)
        unpacked, packed, *values = numbers
        budget.spend(unpacked + _VALUE_BYTES * sum(values))
        at += header.at + packed


@dataclass(slots=True)
class _Header:
    """Thrift's compact protocol, as far as a page's header needs it."""

    data: bytes
    at: int = 0

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """The integers and structs of a struct by number of their field."""
        if depth > _MAX_DEPTH:
            raise CorpusError(_DAMAGED)
        fields: dict[int, Any] = {}
        number = 0
        while kind := self._byte():
            number = number + (kind >> 4) if kind >> 4 else self._signed()
            fields[number] = self._value(kind & 15, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if kind in (1, 2):
            return None
        if kind == 3:
            return self._byte()
        if kind in (4, 5, 6):
            return self._signed()
        if kind == 7:
            return self._skip(8)
        if kind == 8:
            return self._skip(self._number())
        if kind == 12:
            return self.struct(depth + 1)
        # A page's header holds no lists, sets or maps.
        raise CorpusError(_DAMAGED)

    def _byte(self) -> int:
        if self.at >= len(self.data):
            raise CorpusError(_DAMAGED)
        self.at += 1
        return self.data[self.at - 1]

    def _number(self) -> int:
        found = shift = 0
        while shift < 70:
            byte = self._byte()
            found |= (byte & 127) << shift
            if byte < 128:
                return found
            shift += 7
        raise CorpusError(_DAMAGED)

    def _signed(self) -> int:
        found = self._number()
        return (found >> 1) ^ -(found & 1)

    def _skip(self, n: int) -> None:
        self.at += n
