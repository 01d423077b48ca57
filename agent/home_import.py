"""Taking experiences over from another home, to be learned anew by this home's model.

Knows what makes two experiences the same one. Refuses to take weights: they fit the base model that they were made
with.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from agent.home import Home
from agent.home_backup import opened_backup
from memory_log.errors import BadInput, BaseModelChanged, IdempotencyConflict
from memory_log.fields import Record
from memory_log.log import MemoryLog
from memory_log.records import Experience, ExperienceState, NewExperience

PAGE: Final = 1000
SET_ASIDE: Final = (ExperienceState.FORGOTTEN, ExperienceState.REFUSED, ExperienceState.DEAD)

Progress = Callable[[str, int, int], None]
"""(stage, done, total): how far it is."""


class Imported(Record):
    """What became of a source's experiences.

    Example: import_experiences(source, home, lineage="default", progress=silent).num_taken
    """

    num_taken: int
    num_there_already: int
    num_skipped: dict[ExperienceState, int]
    """Set aside in the source, by their state there."""
    is_older_than_known: bool
    """Whether something taken over happened before something that this home had been told already."""


@contextmanager
def opened_source(source: Path, *, progress: Progress) -> Iterator[Home]:
    """The home in a folder, or in a back-up file.

    Raises:
        BadInput: there is neither at this path.
        BackupCorrupt, SchemaTooNew: see `opened_backup`.
    """
    if source.is_dir():
        yield Home.open(source, create=False)
    else:
        with opened_backup(source.expanduser(), progress=progress) as home:
            yield home


def refuse_weights(source: Home, home: Home, *, name: str, lineage: str) -> None:
    """Say what an import without relearning cannot do, and what can.

    Args:
        source, home: from where and where to.
        name: what the user calls the source.
        lineage: whose memory.

    Raises:
        BaseModelChanged: the source was made with another base model.
        BadInput: it has the same one, so that back-up and restore keep what it has learned.
    """
    with source.open_log() as log:
        _check_lineage(log, name, lineage)
        counts = log.count_by_state(lineage)
    num_taken = sum(number for state, number in counts.items() if state not in SET_ASIDE)
    relearn = f"--relearn takes its {num_taken} experiences over as pending, to be learned by this home's model"
    theirs, ours = _base_of(source, lineage), _base_of(home, lineage)
    if source.config.model != home.config.model or (None not in (theirs, ours) and theirs != ours):
        raise BaseModelChanged(
            f"what {name} has learned fits only its own base model ({_named(source, theirs)}), and this home "
            f"has another ({_named(home, ours)}); {relearn}"
        )
    raise BadInput(
        f"{name} was made with the base model of this home: `selfparam backup` and `selfparam restore` keep what it "
        f"has learned, weights and all; {relearn}"
    )


def _base_of(home: Home, lineage: str) -> str | None:
    with home.open_log() as log:
        return log.base_fingerprint(lineage)


def _named(home: Home, fingerprint: str | None) -> str:
    name = home.config.model or "the embedded model"
    return name if fingerprint is None else f"{name}, {fingerprint[:12]}"


def import_experiences(source: Home, home: Home, *, name: str, lineage: str, progress: Progress) -> Imported:
    """Append what the source's lineage was told to this home's, in the same order, as pending.

    Doing it again adds nothing: an experience keeps its key, and one without gets `import:SOURCE:ID:CONTENT`, where
    SOURCE stands for the source home and for its back-ups, wherever they lie. What was forgotten here stays forgotten.

    Args:
        source, home: from where and where to. One may have been restored from a back-up of the other.
        name: what the user calls the source.
        lineage: whose memory, in both.
        progress: called with (stage, done, total).

    Raises:
        BadInput: the source has no such lineage.
        IdempotencyConflict: a key names one thing here and another in the source; nothing is taken over.
    """
    with source.open_log() as theirs, home.open_log() as ours:
        _check_lineage(theirs, name, lineage)
        here = list(_all(ours, lineage))
        by_key = {one.key: one for one in here if one.key is not None}
        by_id = {one.id: one for one in here} if _identity(source) == _identity(home) else {}
        latest = max((one.time for one in here), default=None)
        wanted = [one for one in _all(theirs, lineage) if one.state not in SET_ASIDE]
        news = [(one, _as_new(one, _identity(source))) for one in wanted]
        fresh = [
            new
            for one, new in news
            if not _is_the_same(one, by_id.get(one.id)) and not _is_held(one, by_key.get(new.key or ""))
        ]
        for start in range(0, len(fresh), PAGE):
            ours.append_many(fresh[start : start + PAGE])
            progress("taking over experiences", min(start + PAGE, len(fresh)), len(fresh))
        skipped = {state: theirs.count_by_state(lineage)[state] for state in SET_ASIDE}
    return Imported(
        num_taken=len(fresh),
        num_there_already=len(news) - len(fresh),
        num_skipped=skipped,
        is_older_than_known=latest is not None and any(new.time is not None and new.time < latest for new in fresh),
    )


def _identity(home: Home) -> str:
    # The instant of creation, to the microsecond, goes with a home wherever it is moved, backed up and restored.
    return hashlib.sha256(f"{home.config.created.isoformat()} {home.config.model}".encode()).hexdigest()[:16]


def _check_lineage(log: MemoryLog, name: str, lineage: str) -> None:
    if not log.experiences(lineage, limit=1):
        raise BadInput(f"{name} has no experiences in lineage {lineage!r}; name another with --lineage")


def _all(log: MemoryLog, lineage: str) -> Iterator[Experience]:
    page = log.experiences(lineage, limit=PAGE)
    while page:
        yield from page
        page = log.experiences(lineage, after_id=page[-1].id, limit=PAGE)


def _as_new(experience: Experience, source: str) -> NewExperience:
    fields = {name: getattr(experience, name) for name in NewExperience.model_fields}
    if experience.key is None:
        # Two homes restored from one back-up go on with the same ids: the content tells their experiences apart.
        content = hashlib.sha256(f"{experience.time.isoformat()} {experience.text}".encode()).hexdigest()[:8]
        fields["key"] = f"import:{source}:{experience.id}:{content}"
    return NewExperience(**fields)


def _is_the_same(experience: Experience, held: Experience | None) -> bool:
    """Whether both are one experience of one home, told before the back-up that parted them."""
    if held is None or held.time != experience.time:
        return False
    return held.state is ExperienceState.FORGOTTEN or held.text == experience.text


def _is_held(experience: Experience, held: Experience | None) -> bool:
    if held is None:
        return False
    is_same = (held.text, held.facts) == (experience.text, experience.facts)
    if held.state is ExperienceState.FORGOTTEN or is_same:
        return True
    raise IdempotencyConflict(
        f"key {held.key!r} names experience {held.id} here and experience {experience.id} in the source, with another "
        "content; nothing was taken over: import into another home"
    )
