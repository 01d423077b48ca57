"""What the verbs of `selfparam log` do that change something: append, requeue, forget. None needs a model."""

import sys
from collections.abc import Sequence
from typing import Final

from agent.cli_display import LOG_HEADINGS, count, experience_row, print_table
from agent.commands import Options
from agent.home import Home
from memory_log.errors import BadInput
from memory_log.fields import MAX_TEXT_BYTES
from memory_log.listing import Selection
from memory_log.log import MemoryLog
from memory_log.records import Experience, ExperienceState, Fact, NewExperience

AT_ONCE: Final = 500


def append(options: Options) -> int:
    """Store one experience with every field; print its id and state."""
    facts = tuple(Fact(subject=subject, relation=relation, value=value) for subject, relation, value in options.fact)
    given = {name: getattr(options, name) for name in NewExperience.model_fields if hasattr(options, name)}
    fields = {name: value for name, value in given.items() if value is not None}
    fields |= {"text": _text(options.one_text), "lineage": options.lineage, "facts": facts}
    new = NewExperience(**fields, metadata=dict(options.name_value))
    with Home.open(options.home, model=options.model).open_log() as log:
        stored = log.append(new)
    print(stored.model_dump_json() if options.is_json else f"experience {stored.id} {stored.state.value}")
    return 0


def _text(text: str) -> str:
    if text != "-":
        return text
    # One byte more than fits, so that an endless text ends too.
    content = sys.stdin.buffer.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise BadInput(f"standard input has more than {MAX_TEXT_BYTES} bytes; split it into several experiences")
    try:
        return content.decode().rstrip("\n")
    except UnicodeDecodeError as exc:
        raise BadInput(f"standard input is not UTF-8 text (byte {exc.start}); convert it to UTF-8") from exc


def requeue(options: Options) -> int:
    """Let refused and dead experiences wait again."""
    states = [ExperienceState.DEAD] * options.is_all_dead + [ExperienceState.REFUSED] * options.is_all_refused
    if bool(states) == bool(options.experience_ids):
        raise BadInput("got no choice of experiences, or two; give their ids, or --all-dead, --all-refused or both")
    with Home.open(options.home, model=options.model, create=False).open_log() as log:
        if options.experience_ids:
            for experience in log.requeue(options.experience_ids):
                print(f"experience {experience.id} {experience.state.value}")
            return 0
        num_requeued = sum(_requeue_all(log, Selection(lineage=options.lineage, state=state)) for state in states)
    print(f"{count(num_requeued, 'experience')} pending again; learn what waits with: selfparam update")
    return 0


def _requeue_all(log: MemoryLog, selection: Selection) -> int:
    num_requeued, page = 0, log.page(selection, limit=AT_ONCE)
    while page:
        num_requeued += len(log.requeue([one.id for one in page]))
        page = log.page(selection, after_id=page[-1].id, limit=AT_ONCE)
    return num_requeued


def forget(options: Options) -> int:
    """Leave tombstones of experiences, and say which versions still know them."""
    with Home.open(options.home, model=options.model, create=False).open_log() as log:
        wanted = [log.get(number) for number in dict.fromkeys(options.experience_ids)]  # all are there, or none goes
        if not options.is_sure and not _agreed(wanted):
            print("nothing was forgotten")
            return 0
        for one in wanted:
            log.forget(one.id)
            print(f"experience {one.id} forgotten")
            _print_what_knows(log, one)
    return 0


def _agreed(wanted: Sequence[Experience]) -> bool:
    if not sys.stdin.isatty():
        raise BadInput("forgetting cannot be undone, and there is no terminal to ask at; say --yes if you are sure")
    print_table(LOG_HEADINGS, [experience_row(one) for one in wanted])
    print("Their text, facts, target sentences and probes leave the log for good.")
    print("Forget them? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print_what_knows(log: MemoryLog, one: Experience) -> None:
    knowing = log.versions_knowing(one.id)
    if not knowing:
        return
    parent = log.version(one.lineage, knowing[0]).parent
    names = ", ".join(f"version {number}" for number in knowing)
    if log.head(one.lineage).number in knowing:
        print(
            f"  {names} still know{'s' if len(knowing) == 1 else ''} it, what is in the weights stays there. To learn "
            f"anew without it: selfparam relearn --without {one.id}; to serve without it at once: selfparam rollback "
            f"{parent}"
        )
    else:
        print(f"  {names} still know{'s' if len(knowing) == 1 else ''} it, none of which serves")
