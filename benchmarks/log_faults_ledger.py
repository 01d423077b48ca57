"""What was acknowledged, and whether the log still says the same.

Knows the diaries of killed processes and every invariant that is checked. Refuses to know how they were killed.
"""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from benchmarks.log_faults_children import LINEAGES, Call
from memory_log.errors import UnknownVersion
from memory_log.log import MemoryLog
from memory_log.records import Experience, Version

_PAGE: Final = 5_000


@dataclass
class Findings:
    """What one examination of a log found, or several together. All but the last are counts."""

    num_lost: int = 0
    """Acknowledged appends that are not there or differ, acknowledged admissions that are not in the tree."""
    num_learned_twice: int = 0
    num_stored_twice: int = 0
    num_torn: int = 0
    """Calls of which a part is stored."""
    num_tree_violations: int = 0
    """Versions without an admitted parent, heads off the tree, experiences whose state denies the head's chain."""
    violations: list[str] = field(default_factory=list)

    def add(self, name: str, violation: str) -> None:
        """Count one and keep its text."""
        setattr(self, name, getattr(self, name) + 1)
        self.violations.append(f"{name}: {violation}")

    def with_these(self, others: "Findings") -> "Findings":
        """Both together."""
        return Findings(**{one.name: getattr(self, one.name) + getattr(others, one.name) for one in fields(self)})


class Ledger:
    """What all processes that used one log have written into their diaries."""

    def __init__(self) -> None:
        self.calls: dict[str, Call] = {}
        self.ids: dict[str, list[int]] = {}
        """Of the calls that were acknowledged, by the call's name."""
        self.unknown: set[str] = set()
        """Calls whose outcome was unknown at some time."""
        self.admitted: dict[tuple[str, int], list[int]] = {}
        self.unfinished: dict[str, Call] = {}
        """Calls with keys whose process died before the answer, for another one to repeat."""
        self.counts: Counter[str] = Counter()

    def take(self, diary: Path) -> None:
        """Add the diary of a process that is dead.

        Raises:
            RuntimeError: the process met an error that nobody expects, which it wrote down.
        """
        text = diary.read_text(encoding="utf-8") if diary.exists() else ""
        for line in text.split("\n")[:-1]:  # what follows the last newline was cut off by the kill
            kind, *words = json.loads(line)
            self.counts[kind] += 1
            if kind == "broken":
                raise RuntimeError(f"a process of the benchmark broke:\n{words[0]}")
            self._take_line(kind, words)

    def _take_line(self, kind: str, words: list[Any]) -> None:
        if kind == "try":
            call = Call.model_validate(words[0])
            self.calls[call.name] = call
            if call.keys is not None:
                self.unfinished[call.name] = call
        elif kind == "stored":
            self.ids[words[0]] = words[1]
            self.unfinished.pop(words[0], None)
        elif kind == "unknown":
            self.unknown.add(words[0])
        elif kind == "admitted":
            self.admitted[words[0], words[1]] = words[2]

    @property
    def num_acknowledged(self) -> int:
        """Experiences whose append returned."""
        return sum(len(ids) for ids in self.ids.values())

    def num_unknown_stored(self, log: MemoryLog) -> int:
        """Of the calls whose outcome was unknown, those that are stored now."""
        stored = {one.text for lineage in LINEAGES for one in all_experiences(log, lineage)}
        return sum(self.calls[name].texts[0] in stored for name in self.unknown)


def all_experiences(log: MemoryLog, lineage: str) -> Iterator[Experience]:
    """Every experience by id, in pages."""
    last = 0
    while page := log.experiences(lineage, after_id=last, limit=_PAGE):
        yield from page
        last = page[-1].id


def examine(log: MemoryLog, ledger: Ledger) -> Findings:
    """Compare a log that nobody writes with what was acknowledged. Every violation is named."""
    found = Findings()
    for lineage in LINEAGES:
        stored = list(all_experiences(log, lineage))
        _examine_appends(stored, [call for call in ledger.calls.values() if call.lineage == lineage], ledger, found)
        try:
            log.head(lineage)
        except UnknownVersion:
            versions: list[Version] = []
        else:
            versions = log.versions(lineage)
            _examine_tree(log, lineage, versions, stored, found)
        _examine_admissions(log, lineage, versions, ledger, found)
    return found


def _examine_appends(stored: list[Experience], calls: list[Call], ledger: Ledger, found: Findings) -> None:
    by_text: dict[str, list[Experience]] = {}
    for one in stored:
        by_text.setdefault(one.text, []).append(one)
    tried = {text for call in calls for text in call.texts}
    for text, copies in by_text.items():
        if len(copies) > 1:
            found.add("num_stored_twice", f"{text[:40]!r} has the ids {[one.id for one in copies]}")
        if text not in tried:
            found.add("num_torn", f"{text[:40]!r} is stored, and nobody appended it")
    for call in calls:
        there = [by_text[text][0] for text in call.texts if text in by_text]
        if there and len(there) < len(call.texts):
            found.add("num_torn", f"of call {call.name} {len(there)} of {len(call.texts)} texts are stored")
        ids = ledger.ids.get(call.name)
        if ids is not None and (ids != [one.id for one in there] or not _is_same(call, there)):
            found.add("num_lost", f"call {call.name} was given the ids {ids}, the log has {there}")


def _is_same(call: Call, there: list[Experience]) -> bool:
    fields = ("lineage", "text", "key", "facts")
    return all(
        getattr(one, name) == getattr(new, name) for one, new in zip(there, call.news(), strict=True) for name in fields
    )


def _examine_tree(
    log: MemoryLog, lineage: str, versions: list[Version], stored: list[Experience], found: Findings
) -> None:
    admitted = {one.number: one for one in versions if one.state == "admitted"}
    members = {one.number: log.batch(one.batch_id).experience_ids for one in admitted.values() if one.batch_id}
    for one in versions:
        if one.number and (one.parent not in admitted or one.parent >= one.number):
            found.add("num_tree_violations", f"{lineage} version {one.number} has the parent {one.parent}")
    head = log.head(lineage).number
    if head not in admitted:
        found.add("num_tree_violations", f"the head of {lineage} is {head}, which is not admitted")
    leaves = admitted.keys() - {one.parent for one in admitted.values()}
    for leaf in leaves:
        line = _line(admitted, leaf)
        learned = Counter(number for version in line for number in members.get(version, ()))
        for number, times in learned.items():
            if times > 1:
                found.add("num_learned_twice", f"experience {number} is learned {times} times up to version {leaf}")
    known = {number: version for version in _line(admitted, head) for number in members.get(version, ())}
    for experience in stored:
        if (experience.learned_in if experience.state == "learned" else None) != known.get(experience.id):
            found.add(
                "num_tree_violations",
                f"{experience.id} is {experience.state} in {experience.learned_in}, the chain of head {head} has it in "
                f"{known.get(experience.id)}",
            )


def _line(admitted: dict[int, Version], number: int) -> list[int]:
    line, at = [], admitted.get(number)
    while at is not None:
        line.append(at.number)
        at = None if at.parent is None else admitted.get(at.parent)
    return line


def _examine_admissions(log: MemoryLog, lineage: str, versions: list[Version], ledger: Ledger, found: Findings) -> None:
    by_number = {one.number: one for one in versions}
    for (name, number), ids in ledger.admitted.items():
        if name != lineage:
            continue
        version = by_number.get(number)
        if version is None or version.state != "admitted" or version.batch_id is None:
            found.add("num_lost", f"{lineage} version {number} was admitted, the log has {version}")
        elif sorted(log.batch(version.batch_id).experience_ids) != sorted(ids):
            found.add("num_lost", f"{lineage} version {number} learned {ids}, the log has another batch")
