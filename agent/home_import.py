"""Taking experiences over from another home, to be learned anew by this home's model.

Knows homes and back-ups; `memory_log.transfer` knows what makes two experiences the same one. Refuses to take weights:
they fit the base model that they were made with.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from agent.home import Home
from agent.home_backup import opened_backup
from memory_log.errors import BadInput, BaseModelChanged
from memory_log.fields import Record
from memory_log.listing import Selection
from memory_log.log import MemoryLog
from memory_log.records import Experience, ExperienceState, NewExperience
from memory_log.transfer import exported, held, key_of_exported

PAGE: Final = 500
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
    identity, own = source_of(source), source_of(home)
    with source.open_log() as theirs, home.open_log() as ours:
        _check_lineage(theirs, name, lineage)
        latest, num_wanted, num_fresh, is_older = ours.latest_time(lineage), 0, 0, False
        for page in _pages(theirs, lineage, identity):  # all of it, before anything is stored
            fresh = _fresh(ours, page, own)
            num_wanted, num_fresh = num_wanted + len(page), num_fresh + len(fresh)
            is_older = is_older or any(latest and new.time and new.time < latest for new in fresh)
        num_taken = 0
        for page in _pages(theirs, lineage, identity):
            num_taken += len(ours.append_many(_fresh(ours, page, own)))
            progress("taking over experiences", num_taken, num_fresh)
        counts = theirs.count_by_state(lineage)
    return Imported(
        num_taken=num_taken, num_there_already=num_wanted - num_fresh,
        num_skipped={state: counts[state] for state in SET_ASIDE}, is_older_than_known=is_older,
    )  # fmt: skip


def source_of(home: Home) -> str:
    """What names the home's log in exports and keys: it goes with the home when that is moved, backed up, restored."""
    # The instant of creation, to the microsecond.
    return hashlib.sha256(f"{home.config.created.isoformat()} {home.config.model}".encode()).hexdigest()[:16]


def _check_lineage(log: MemoryLog, name: str, lineage: str) -> None:
    if not log.experiences(lineage, limit=1):
        raise BadInput(f"{name} has no experiences in lineage {lineage!r}; name another with --lineage")


def _pages(log: MemoryLog, lineage: str, source: str) -> Iterator[list[NewExperience]]:
    wanted = (one for one in exported(log, [Selection(lineage=lineage)]) if one.state not in SET_ASIDE)
    while page := list(islice(wanted, PAGE)):
        yield [_as_new(one, source) for one in page]


def _as_new(experience: Experience, source: str) -> NewExperience:
    new = NewExperience(**{name: getattr(experience, name) for name in NewExperience.model_fields})
    if new.key is not None:
        return new
    return new.model_copy(update={"key": key_of_exported(source, experience.id, new)})


def _fresh(log: MemoryLog, page: Sequence[NewExperience], own_source: str) -> list[NewExperience]:
    return [new for new, stored in zip(page, held(log, page, own_source), strict=True) if stored is None]
