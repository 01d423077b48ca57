"""The rows of a SQLite file, page by page, without its indexes and its tree: for a file that SQLite refuses.

Knows the file format (https://www.sqlite.org/fileformat2.html): pages, cells, records, the WAL. Refuses to know our
tables. Whatever cannot be decoded is left out; nothing is ever written.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

Value = None | int | float | str | bytes

_HEADER_BYTES: Final = 100
_LEAF_OF_TABLE: Final = 0x0D
_PAGE_SIZES: Final = tuple(1 << power for power in range(9, 17))
_WAL_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_MOST_PAYLOAD_BYTES: Final = 1 << 30


@dataclass(frozen=True)
class Row:
    """One row of some table: SQLite keeps the name of the table elsewhere."""

    rowid: int
    values: tuple[Value, ...]


class PagedFile:
    """A database file with what its WAL has on top of it, both only read. Use it in a `with`.

    Args:
        path: the file; its `-wal` is read too where there is one.
    """

    def __init__(self, path: Path) -> None:
        self._file: BinaryIO = path.open("rb")
        self._wal: BinaryIO | None = None
        wal = Path(f"{path}-wal")
        if wal.is_file() and wal.stat().st_size > _WAL_HEADER_BYTES:
            self._wal = wal.open("rb")
        self.page_bytes = self._find_page_bytes()
        self._newest = dict(self._frames())
        num_pages = -(-path.stat().st_size // self.page_bytes)
        self.num_pages = max(num_pages, max(self._newest, default=0))

    def __enter__(self) -> "PagedFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._wal is not None:
            self._wal.close()

    def rows(self) -> Iterator[Row]:
        """Every row of every table's leaf pages that can be decoded, in the order of pages."""
        for number in range(1, self.num_pages + 1):
            yield from self._rows_of(number)

    def _find_page_bytes(self) -> int:
        self._file.seek(16)
        found = self._file.read(2)
        size = int.from_bytes(found, "big") if len(found) == 2 else 0
        if size in (1, *_PAGE_SIZES):
            return 65536 if size == 1 else size
        if self._wal is not None:
            self._wal.seek(8)
            size = int.from_bytes(self._wal.read(4), "big")
        return size if size in _PAGE_SIZES else 4096  # 4096 is what every release of ours makes

    def _frames(self) -> Iterator[tuple[int, int]]:
        """Page number and offset of the frames up to the last commit of the WAL's present run; later ones win.

        Checksums are left out on purpose: a frame behind a damaged one is still a whole page.
        """
        if self._wal is None:
            return
        self._wal.seek(16)
        salts = self._wal.read(8)
        uncommitted: list[tuple[int, int]] = []
        offset = _WAL_HEADER_BYTES
        while True:
            self._wal.seek(offset)
            header = self._wal.read(_FRAME_HEADER_BYTES)
            if len(header) < _FRAME_HEADER_BYTES:
                return
            number, size_after_commit = struct.unpack(">II", header[:8])
            if header[8:16] == salts and number:
                uncommitted.append((number, offset + _FRAME_HEADER_BYTES))
                if size_after_commit:
                    yield from uncommitted
                    uncommitted = []
            offset += _FRAME_HEADER_BYTES + self.page_bytes

    def _page(self, number: int) -> bytes:
        if self._wal is not None and number in self._newest:
            self._wal.seek(self._newest[number])
            page = self._wal.read(self.page_bytes)
        else:
            self._file.seek((number - 1) * self.page_bytes)
            page = self._file.read(self.page_bytes)
        return page

    def _rows_of(self, number: int) -> Iterator[Row]:
        page = self._page(number)
        start = _HEADER_BYTES if number == 1 else 0
        if len(page) < start + 8 or page[start] != _LEAF_OF_TABLE:
            return
        num_cells = int.from_bytes(page[start + 3 : start + 5], "big")
        pointers = page[start + 8 : start + 8 + 2 * num_cells]
        for (offset,) in struct.iter_unpack(">H", pointers[: len(pointers) // 2 * 2]):
            try:
                yield self._row(page, offset)
            except (IndexError, ValueError, struct.error):  # what is there is no cell: damage, or another kind of page
                continue

    def _row(self, page: bytes, offset: int) -> Row:
        num_bytes, offset = _varint(page, offset)
        rowid, offset = _varint(page, offset)
        if num_bytes > _MOST_PAYLOAD_BYTES:
            raise ValueError("no payload is so long")
        on_page = self._bytes_on_leaf(num_bytes)
        payload = page[offset : offset + on_page]
        if len(payload) < on_page:
            raise ValueError("the cell ends behind its page")
        if on_page < num_bytes:
            following = int.from_bytes(page[offset + on_page : offset + on_page + 4], "big")
            payload += self._overflow(following, num_bytes - on_page)
        return Row(rowid - (1 << 64) if rowid >> 63 else rowid, _values(payload))

    def _bytes_on_leaf(self, num_bytes: int) -> int:
        most = self.page_bytes - 35
        if num_bytes <= most:
            return num_bytes
        least = (self.page_bytes - 12) * 32 // 255 - 23
        some = least + (num_bytes - least) % (self.page_bytes - 4)
        return some if some <= most else least

    def _overflow(self, number: int, num_bytes: int) -> bytes:
        parts, seen = [], set[int]()
        while num_bytes > 0:
            if number in seen or not 0 < number <= self.num_pages:
                raise ValueError("the chain of overflow pages is broken")
            page = self._page(number)
            if len(page) < self.page_bytes:
                raise ValueError("an overflow page is cut off")
            seen.add(number)
            parts.append(page[4 : 4 + num_bytes])
            num_bytes -= len(parts[-1])
            number = int.from_bytes(page[:4], "big")
        return b"".join(parts)


def _varint(page: bytes, offset: int) -> tuple[int, int]:
    """An integer of 1 to 9 bytes, and where it ends."""
    value = 0
    for position in range(8):
        byte = page[offset + position]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, offset + position + 1
    return value << 8 | page[offset + 8], offset + 9


def _values(payload: bytes) -> tuple[Value, ...]:
    header_bytes, offset = _varint(payload, 0)
    if header_bytes > len(payload):
        raise ValueError("the header is longer than the record")
    kinds = []
    while offset < header_bytes:
        kind, offset = _varint(payload, offset)
        kinds.append(kind)
    values = []
    for kind in kinds:
        value, offset = _value(payload, offset, kind)
        values.append(value)
    if offset != len(payload):
        raise ValueError("the record's values are not as long as it says")
    return tuple(values)


def _value(payload: bytes, offset: int, kind: int) -> tuple[Value, int]:
    if kind in (0, 8, 9):
        return (None if kind == 0 else kind - 8), offset
    if kind in (10, 11):
        raise ValueError("no record has this type")
    size = (kind - 12) // 2 if kind >= 12 else (0, 1, 2, 3, 4, 6, 8, 8)[kind]
    content = payload[offset : offset + size]
    if len(content) < size:
        raise ValueError("the value ends behind the record")
    if kind >= 12:
        return (content.decode() if kind % 2 else content), offset + size
    if kind == 7:
        return struct.unpack(">d", content)[0], offset + size
    return int.from_bytes(content, "big", signed=True), offset + size
