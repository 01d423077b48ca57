"""What the verbs of `selfparam log` do that change something: append, requeue, forget. None needs a model."""

import sys

from agent.commands import Options
from agent.home import Home
from memory_log.errors import BadInput
from memory_log.fields import MAX_TEXT_BYTES
from memory_log.records import Fact, NewExperience


def append(options: Options) -> int:
    """Store one experience with every field; print its id and state."""
    facts = tuple(Fact(subject=subject, relation=relation, value=value) for subject, relation, value in options.fact)
    given = {name: getattr(options, name) for name in NewExperience.model_fields if hasattr(options, name)}
    fields = {name: value for name, value in given.items() if value is not None}
    new = NewExperience(**{**fields, "text": _text(options.one_text), "lineage": options.lineage, "facts": facts})
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
