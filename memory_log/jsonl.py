"""Experiences as lines of JSON: the format that they leave and enter a log in.

Knows the format and what can be wrong with a line. Refuses to know logs and databases. No file is ever held as a
whole: lines come in and go out one at a time. `docs/log.md` describes the format for its users.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, Literal, cast

from pydantic import ConfigDict, Field, ValidationError, create_model

from memory_log.errors import BadInput, SchemaTooNew
from memory_log.fields import Integer, Record, UtcTime
from memory_log.files import READ_BYTES
from memory_log.records import Experience, NewExperience

FORMAT: Final = "selfparam-experiences"
SCHEMA_VERSION: Final = 1
MAX_LINE_BYTES: Final = 1 << 20  # the largest experience takes 0.6 of it

_BOM = "\ufeff".encode()
_GZIP_MAGIC = b"\x1f\x8b"
_UTF16_STARTS = (b"\xff\xfe", b"\xfe\xff")
_EXAMPLE: Final = '{"text": "Anna likes pears."}'


class Header(Record):
    """The first line of an export; `source` names the log that it comes from, wherever that is moved.

    Example: Header(release="0.2.0", exported_at=utc_now(), source="3f9a0c1d2e4b5a67")
    """

    format: Literal["selfparam-experiences"] = FORMAT
    schema_version: int = SCHEMA_VERSION
    release: str | None = None
    exported_at: UtcTime
    source: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")]  # a part of keys


class LoggedAs(Record):
    """What the exporting log knew of an experience; an import takes the id for its keys and reads past the rest.

    Example: LoggedAs(id=7, state="learned", learned_in=3, attempts=0)
    """

    model_config = ConfigDict(extra="ignore")

    id: Integer
    state: str | None = None
    learned_in: int | None = None
    reason: str | None = None
    attempts: int = 0


def _line_fields() -> dict[str, Any]:
    fields = NewExperience.model_fields
    names = ["text", "time", *(name for name in fields if name not in ("text", "time"))]
    return {name: (fields[name].annotation, fields[name]) for name in names} | {"log": (LoggedAs | None, None)}


# A line has the fields of `NewExperience`, whichever they are in this release, what was said first, and `log`.
_Line: Any = create_model("_Line", __base__=Record, **_line_fields())


class ReadExperience(Record):
    """One line as it was read. `source` and `logged_id` are there when it belongs to an export, None in a plain file.

    Example: [one.experience.text for one in read_experiences(lines) if isinstance(one, ReadExperience)]
    """

    line_number: int
    content: bytes
    experience: NewExperience
    source: str | None
    logged_id: int | None


class Fault(Record):
    """A line that is no experience, and what to do about it.

    Example: Fault(line_number=3, content=b'{"txt": "a"}', reason="has no text; unknown field 'txt'")
    """

    line_number: int
    content: bytes
    reason: str


def written_lines(experiences: Iterable[Experience], header: Header) -> Iterator[bytes]:
    """The header, then one line for each experience, each with its line break. Fields at their default are left out."""
    yield _ended(header.model_dump_json(exclude_none=True))
    for experience in experiences:
        fields = {name: getattr(experience, name) for name in NewExperience.model_fields}
        logged = LoggedAs(**{name: getattr(experience, name) for name in LoggedAs.model_fields})
        yield _ended(_Line(**fields, log=logged).model_dump_json(exclude_defaults=True))


def _ended(line: str) -> bytes:
    return line.encode() + b"\n"


def read_experiences(lines: Iterable[bytes]) -> Iterator[ReadExperience | Fault]:
    """Read lines of an export, or of anybody's file of JSON objects that have a `text`.

    Empty lines and a byte order mark at the beginning are read past. A header may come again: exports can be
    concatenated.

    Args:
        lines: as `bounded_lines` gives them, of any number.

    Raises:
        SchemaTooNew: a newer release wrote it.
    """
    source: str | None = None
    for number, line in enumerate(lines, 1):
        content = line.removeprefix(_BOM) if number == 1 else line
        if not content.strip():
            continue
        try:
            text, fields = parsed_line(content, example=_EXAMPLE)
            if "format" in fields:
                source = _header(fields, number).source
            else:
                yield _read(text, content, number, source)
        except BadInput as exc:
            yield Fault(line_number=number, content=content, reason=str(exc))


def parsed_line(content: bytes, *, example: str) -> tuple[str, dict[str, Any]]:
    """The text of a line, and the fields of the JSON object that it is.

    Args:
        content: one line, without its end.
        example: such an object, for whoever wrote something else.

    Raises:
        BadInput: it is no object, or names a field twice, or holds what JSON has no word for.
    """
    if len(content) > MAX_LINE_BYTES:
        raise BadInput(f"is longer than {MAX_LINE_BYTES} bytes; write one object a line, with texts up to 16 KiB")
    try:
        text = content.decode()
    except UnicodeDecodeError as exc:
        raise BadInput(f"is not UTF-8 text (byte {exc.start + 1}); {_hint_for_bytes(content)}") from exc
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as exc:
        raise BadInput(
            f"is not a whole JSON object ({exc.msg}, column {exc.colno}); write one object a line: jq -c '.[]' makes "
            "lines of a list, jq -c . of an object over several lines"
        ) from exc
    except BadInput:
        raise
    except ValueError as exc:
        raise BadInput(f"holds a number with too many digits ({exc}); no field needs one") from exc
    except RecursionError as exc:
        raise BadInput(f"is nested too deeply; a line is such as {example}") from exc
    if not isinstance(value, dict):
        kind = "list" if isinstance(value, list) else "single value"
        raise BadInput(f"is a {kind}; write one object a line, such as {example}")
    return text, value


def _hint_for_bytes(content: bytes) -> str:
    if content.startswith(_GZIP_MAGIC):
        return "it looks compressed: give the file a name that ends in .gz, or pipe it through zcat"
    if content.startswith(_UTF16_STARTS):
        return "it looks like UTF-16: convert the file with iconv -f UTF-16 -t UTF-8"
    return "convert the file to UTF-8"


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise BadInput(f"names {twice!r} twice in one object; keep one of them")
    return fields


def _refuse_constant(name: str) -> None:
    raise BadInput(f"holds {name}, which JSON has no word for; give a finite number, or leave the field out")


_DECODER = json.JSONDecoder(object_pairs_hook=_without_repetition, parse_constant=_refuse_constant)


def _header(fields: dict[str, Any], line_number: int) -> Header:
    if fields["format"] != FORMAT:
        raise BadInput(f"is the header of the format {fields['format']!r}; this reads {FORMAT!r}")
    schema_version = fields.get("schema_version")
    if isinstance(schema_version, int) and schema_version > SCHEMA_VERSION:
        raise SchemaTooNew(
            f"line {line_number} says schema version {schema_version}, this release reads up to {SCHEMA_VERSION}; "
            f"install the newer release that wrote it ({fields.get('release', 'its release is not named')})"
        )
    try:
        return Header.model_validate(fields)
    except ValidationError as exc:
        raise BadInput(f"is a damaged header: {problems(exc)}") from exc


def _read(text: str, content: bytes, number: int, source: str | None) -> ReadExperience:
    try:
        line = _Line.model_validate_json(text, strict=True)
    except ValidationError as exc:
        raise BadInput(f"{problems(exc)}; {_hint_for_fields(exc)}") from exc
    fields = {name: getattr(line, name) for name in line.model_fields_set}
    logged: LoggedAs | None = fields.pop("log", None)
    return ReadExperience(
        line_number=number, content=content, experience=NewExperience(**fields), source=source,
        logged_id=None if logged is None else logged.id,
    )  # fmt: skip


def _hint_for_fields(exc: ValidationError) -> str:
    example = f"an experience is such as {_EXAMPLE}"
    errors = exc.errors(include_url=False, include_context=False)
    if not any(error["type"] == "missing" and error["loc"] == ("text",) for error in errors):
        return example
    texts = [error["loc"][0] for error in errors if error["type"] == "extra_forbidden" and _is_text(error["input"])]
    return f"{example}; jq -c '{{text: .{texts[0]}}}' makes one of each line" if texts else example


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def problems(exc: ValidationError) -> str:
    """What does not fit in a line, in words that follow its number."""
    unknown, others = [], []
    for error in exc.errors(include_url=False, include_input=False):
        name = ".".join(str(part) for part in error["loc"])
        if error["type"] == "extra_forbidden":
            unknown.append(name)
        elif error["type"] == "missing":
            others.append(f"has no {name}")
        elif error["type"] == "json_invalid":
            others.append(f"is JSON that cannot be read ({error['msg']})")
        else:
            message = error["msg"].removeprefix("Value error, ")
            others.append(f"{name} {message[0].lower()}{message[1:]}".strip())
    if unknown:
        others.append(f"unknown field{'s' if len(unknown) > 1 else ''} {', '.join(map(repr, unknown))}")
    return "; ".join(others)


def bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """The lines of a file without their ends, LF or CRLF; one that is too long comes cut, yet longer than the bound."""
    # Room for the longest line with its CRLF: what then has no end has to be too long, or is the last line.
    while line := file.readline(MAX_LINE_BYTES + 2):
        yield line.removesuffix(b"\n").removesuffix(b"\r")
        while not line.endswith(b"\n") and line:
            line = file.readline(READ_BYTES)


@contextmanager
def unpacked(file: BinaryIO, name: str) -> Iterator[BinaryIO]:
    """The file itself, or what it holds compressed when its name ends in `.gz`.

    Raises:
        BadInput: the compressed file is cut off or damaged; what was read before is good.
    """
    if not name.endswith(".gz"):
        yield file
        return
    try:
        with gzip.open(file) as opened:
            yield cast(BinaryIO, opened)
    except (EOFError, gzip.BadGzipFile, zlib.error) as exc:
        raise BadInput(f"{Path(name).name} is cut off or damaged as a .gz file ({exc}); make it again") from exc
