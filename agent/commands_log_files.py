"""What `selfparam log export` and `selfparam log import` do: files, pipes, compression, progress.

`agent.sessions.files` knows the formats, `memory_log.jsonl` the log's own, and `memory_log.transfer` what becomes of
what is read.
"""

import gzip
import importlib.metadata
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, Final, cast

from agent.cli_display import UpdateProgress, count, printable
from agent.commands import Options
from agent.commands_log import selection
from agent.home import Home
from agent.home_import import source_of
from agent.sessions.files import FileForm, FileRead, check_form, read_file
from agent.sessions.locomo import count_categories
from agent.sessions.questions import Stored, store_questions
from memory_log.clock import utc_now
from memory_log.errors import BadInput, SchemaTooNew
from memory_log.files import new_file
from memory_log.jsonl import Fault, Header, ReadExperience, unpacked, written_lines
from memory_log.listing import Selection
from memory_log.transfer import Imported, exported, import_lines

STANDARD: Final = "-"

# A dry run shows so many bad lines one by one.
MOST_SHOWN: Final = 20


def export(options: Options) -> int:
    """Write experiences into a file, a line each."""
    home = Home.open(options.home, model=options.model, create=False, to_write=False)
    with home.open_log() as log, UpdateProgress(is_plain=options.is_plain) as progress:
        names = log.lineages() if options.is_all_lineages else [options.lineage]
        counts = [log.count_by_state(name) for name in names]
        selections = [selection(options, name) for name in names]
        is_all = all(one == Selection(lineage=one.lineage) for one in selections)
        total = sum(sum(each.values()) for each in counts) if is_all else 0  # nobody has counted what is selected
        header = Header(release=_release(), exported_at=utc_now(), source=source_of(home))
        found = exported(log, selections, progress=lambda num_done: progress("writing experiences", num_done, total))
        num_lines = -1  # the header is a line too
        with _written(options.file, is_forced=options.is_forced) as file:
            for line in written_lines(found, header):
                file.write(line)
                num_lines += 1
    out = sys.stderr if options.file == STANDARD else sys.stdout
    print(f"{options.file} holds {count(num_lines, 'experience')}", file=out)
    return 0


def _release() -> str | None:
    try:
        return importlib.metadata.version("selfparam")
    except importlib.metadata.PackageNotFoundError:
        return None


@contextmanager
def _written(name: str, *, is_forced: bool) -> Iterator[BinaryIO]:
    if name == STANDARD:
        yield sys.stdout.buffer
        return
    path = Path(name).expanduser()
    if path.is_file() and not is_forced:
        raise BadInput(f"{name} is there already; name another file, or replace it with --force")
    with new_file(path, replaces=is_forced) as file:
        if not name.endswith(".gz"):
            yield file
            return
        with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            yield cast(BinaryIO, packed)


def import_(options: Options) -> int:
    """Append what a file's lines say."""
    name = "standard input" if options.file == STANDARD else options.file
    with ExitStack() as stack:
        progress = stack.enter_context(UpdateProgress(is_plain=options.is_plain))
        read, percent = stack.enter_context(opened_file(options))
        if options.is_dry_run:
            return _dry_run(read, name, progress, percent)
        rejected = stack.enter_context(_Rejected(_rejected_path(options))) if options.on_error == "skip" else None
        home = Home.open(options.home, model=options.model)
        log = stack.enter_context(home.open_log())
        imported = import_lines(
            log, read.items,
            source=options.source or source_name(options.file), own_source=source_of(home),
            lineage=options.lineage if options.is_lineage_given else None,
            on_fault=None if rejected is None else rejected,
            progress=lambda _: progress("reading, percent", *percent()),
        )  # fmt: skip
        lineages = {name: options.lineage if options.is_lineage_given else name for name in read.questions}
        stored = [store_questions(log, lineages[name], asked) for name, asked in read.questions.items()]
    code = _report(imported, name, options)
    if stored:
        _report_questions(stored, read, sorted(set(lineages.values())))
    return code


@contextmanager
def opened_file(options: Options) -> Iterator[tuple[FileRead, Callable[[], tuple[int, int]]]]:
    """What a file holds, and how much of it is read: percent and 100, or twice 0 where nobody knows.

    Raises:
        BadInput: there is no such file, it is not of its format, or options do not go together.
        SchemaTooNew: a newer release wrote it.
    """
    name = options.file
    form = FileForm(options.file_format, options.shape, options.group_bytes, options.conversation)
    check_form(form)
    with ExitStack() as stack:
        if name == STANDARD:
            file: BinaryIO = sys.stdin.buffer
            num_bytes = 0
        else:
            path = Path(name).expanduser()
            if not path.is_file() and not path.is_fifo():
                raise BadInput(f"there is no file {name} to read; give a file of JSON lines, or - for standard input")
            file = stack.enter_context(path.open("rb"))
            num_bytes = path.stat().st_size

        def percent() -> tuple[int, int]:
            return (100 * file.tell() // num_bytes, 100) if num_bytes else (0, 0)

        unpacked_file = stack.enter_context(unpacked(file, name))
        try:
            read = read_file(unpacked_file, form)
        except BadInput as exc:
            raise BadInput(f"{'standard input' if name == STANDARD else name} {exc}") from exc
        try:
            yield read, percent
        except SchemaTooNew as exc:
            raise SchemaTooNew(f"{name}, {exc}") from exc


def source_name(name: str) -> str:
    """What lines without a key come from where no `--source` is given."""
    # The name of a pipe says nothing about what comes out of it.
    path = Path(name).expanduser()
    return path.name.removesuffix(".gz") if path.is_file() else STANDARD


def _rejected_path(options: Options) -> Path:
    return Path(f"{'stdin' if options.file == STANDARD else options.file}.rejected")


class _Rejected:
    """The file of bad lines with their reasons: begun at the first, and named once the import is over."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stack = ExitStack()
        self._file: BinaryIO | None = None

    def __enter__(self) -> "_Rejected":
        self._stack.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.__exit__(*exc)  # type: ignore[arg-type]

    def __call__(self, fault: Fault) -> None:
        if self._file is None:
            self._file = self._stack.enter_context(new_file(self._path, replaces=True))
        content = fault.content.decode("utf-8", "backslashreplace")
        fields = {"line": fault.line_number, "reason": fault.reason, "content": content}
        self._file.write(json.dumps(fields, ensure_ascii=False).encode() + b"\n")


def _dry_run(
    read: FileRead, name: str, progress: UpdateProgress, percent: Callable[[], tuple[int, int]]
) -> int:
    num_good = num_bad = 0
    for item in read.items:
        if item.line_number % 500 == 0:
            progress("reading, percent", *percent())
        if isinstance(item, ReadExperience):
            num_good += 1
            continue
        num_bad += 1
        if num_bad <= MOST_SHOWN:
            print(_described(item, name), file=sys.stderr)
    if num_bad > MOST_SHOWN:
        print(f"and {num_bad - MOST_SHOWN} more", file=sys.stderr)
    print(f"{count(num_good, 'experience')} could be stored, {count(num_bad, 'line')} could not; nothing was stored")
    if read.questions:
        print(f"  {count_categories([one for asked in read.questions.values() for one in asked])} questions")
    return 2 if num_bad else 0


def _described(fault: Fault, name: str) -> str:
    return printable(f"{name}, line {fault.line_number}: {fault.reason}")


def _report(imported: Imported, name: str, options: Options) -> int:
    print(f"{count(imported.num_stored, 'experience')} stored, pending")
    if imported.num_there_already:
        print(f"  {imported.num_there_already} here already")
    if imported.stopped_at is not None:
        raise BadInput(
            f"{_described(imported.stopped_at, name)}. What comes before this line is stored; mend it and import the "
            "file again, which adds only what is not there yet, or leave bad lines out with --on-error skip"
        )
    if imported.num_faults:
        print(f"  {count(imported.num_faults, 'line')} left out, see: {_rejected_path(options)}")
    return 0


def _report_questions(stored: Sequence[Stored], read: FileRead, lineages: Sequence[str]) -> None:
    asked = [one for questions in read.questions.values() for one in questions]
    print(f"  of {count(len(lineages), 'lineage')}: {', '.join(lineages)}")
    num_stored = sum(one.num_stored for one in stored)
    print(f"  {count(num_stored, 'question')} stored as probes; there are {count_categories(asked)}")
    if num_there := sum(one.num_there_already for one in stored):
        print(f"  {count(num_there, 'question')} here already, or asked twice")
    if num_waiting := sum(one.num_waiting for one in stored):
        print(f"  {count(num_waiting, 'question')} about experiences that are not here, left out")
    if num_without := sum(one.num_without_evidence for one in stored):
        print(f"  {count(num_without, 'question')} that name no turn of their conversation, left out")
