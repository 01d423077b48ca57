"""SQLite logs on a full disk and in damaged files: refused by name or whole, and what salvage gets out of them.

Knows how a file is damaged and what its log held. Refuses to know pages: it sees the log as anybody does.
"""

import os
import random
import resource
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

from benchmarks.log_faults_children import BASE, Diary, JumpingClock, new_call
from benchmarks.log_faults_ledger import Findings, Ledger, all_experiences, examine
from memory_log.errors import DiskFull, LogDamaged
from memory_log.log import MemoryLog
from memory_log.records import DeltaRef, Experience, NewTarget, Version
from memory_log.salvage import salvage

PAGE_BYTES: Final = 4096
LEAST_ROW_BYTES: Final = 80
Damage = Literal["page_garbled", "page_zeroed", "header_garbled", "tail_cut", "emptied", "wal_garbled", "wal_cut"]
DAMAGES: Final[tuple[Damage, ...]] = (
    "page_garbled", "page_zeroed", "header_garbled", "tail_cut", "emptied", "wal_garbled", "wal_cut",
)  # fmt: skip
Outcome = Literal["refused", "whole", "unnoticed", "unclear"]
_State = tuple[dict[int, Experience], list[Version]]


def fill_disks(
    folder: Path, num_disks: int, rng: random.Random, progress: Callable[[int], None]
) -> tuple[Findings, int]:
    """Write logs that have no room at a random size, and look whether all that was acknowledged is there.

    The room ends by the limit on the size of a process's files, which every machine has.

    Returns:
        What was found, and how often a write found no room.
    """
    found, num_full = Findings(), 0
    for number in range(num_disks):
        place = folder / f"disk-{number}"
        place.mkdir()
        url, diary = f"sqlite:///{place}/log.sqlite3", place / "diary.jsonl"
        child = os.fork()
        if not child:
            _write_until_full(url, diary, rng.randint(300_000, 2_000_000), number)
        os.waitpid(child, 0)
        ledger = Ledger()
        ledger.take(diary)
        num_full += ledger.counts["full"]
        with MemoryLog(url) as log:
            found = found.with_these(examine(log, ledger))
            log.append(new_call(rng, "afterwards").news()[0])
        shutil.rmtree(place)
        progress(number + 1)
    return found, num_full


def _write_until_full(url: str, diary_path: Path, num_bytes: int, seed: int) -> None:
    """In a fork: append until there has been no room three times. Never returns."""
    diary = Diary(diary_path)
    rng = random.Random(seed)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))
    num_full = num_calls = 0
    with MemoryLog(url, clock=JumpingClock(rng, diary)) as log:
        while num_full < 3:
            num_calls += 1
            call = new_call(rng, f"{seed}-{num_calls}")
            diary.say("try", call.model_dump())
            try:
                stored = log.append_many(call.news())
            except DiskFull:
                num_full += 1
                diary.say("full")
            else:
                diary.say("stored", call.name, [one.id for one in stored])
    os._exit(0)


def damage_files(
    folder: Path, num_files: int, rng: random.Random, progress: Callable[[int], None]
) -> tuple[Counter[Outcome], list[str]]:
    """Damage copies of a log that a killed process left, one after the other, and use them.

    Returns:
        How many were refused by `LogDamaged`, whole all the same, read wrong without an error, or ended otherwise; and
        every case in words that was neither refused nor whole, or of which salvage got less than whole pages hold.
    """
    original = folder / "original"
    original.mkdir()
    _leave_a_log(original)
    truth = _copied(original, folder / "whole", _state)
    outcomes: Counter[Outcome] = Counter()
    remarks = []
    for number in range(num_files):
        damage = DAMAGES[number % len(DAMAGES)]
        copy = folder / f"damaged-{number}"
        shutil.copytree(original, copy)
        _damage(copy / "log.sqlite3", damage, rng)
        remarks += [f"{damage}, file {number}: {remark}" for remark in _salvage_remarks(copy, damage, truth)]
        outcome, why = _use(copy, truth)
        outcomes[outcome] += 1
        if outcome in ("unnoticed", "unclear"):
            remarks.append(f"{damage}, file {number}: {outcome}: {why}")
        shutil.rmtree(copy)
        progress(number + 1)
    return outcomes, remarks


def _leave_a_log(folder: Path) -> None:
    """A log of a few hundred pages, part of it in the WAL of a process that was killed."""
    ready, says_ready = os.pipe()
    child = os.fork()
    if not child:
        _fill(f"sqlite:///{folder}/log.sqlite3")
        os.write(says_ready, b"!")
        time.sleep(3600)
        os._exit(1)
    os.close(says_ready)
    is_ready = os.read(ready, 1)
    os.close(ready)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    if not is_ready:
        raise RuntimeError("the process that fills the log died by itself")


def _fill(url: str) -> None:
    rng = random.Random(0)
    log = MemoryLog(url)
    for number in range(500):
        for new in new_call(rng, str(number)).news():
            log.append(new.model_copy(update={"lineage": "house"}))
    log.ensure_lineage("house", base_fingerprint=BASE)
    lease = log.acquire_updater_lease("house", owner="worker", lease_seconds=60)
    for number in range(5):
        batch = log.open_batch(lease, limit=20)
        log.store_targets(lease, batch.id, [
            NewTarget(experience_id=one, kind="question", prompt="Where?", completion="There.", payload=b"teacher" * 50)
            for one in batch.experience_ids
        ])  # fmt: skip
        delta = DeltaRef(path=f"house/{number}.safetensors", sha256="0" * 64, kind="lowrank", num_bytes=1)
        candidate = log.add_candidate(lease, batch.id, delta=delta, weights_hash="hash", metrics={"kl_nats": 1.0})
        log.admit(lease, candidate.number)


def _state(folder: Path) -> _State:
    with MemoryLog(f"sqlite:///{folder}/log.sqlite3") as log:
        return {one.id: one for one in all_experiences(log, "house")}, log.versions("house")


def _copied(source: Path, copy: Path, use: Callable[[Path], _State]) -> _State:
    shutil.copytree(source, copy)
    return use(copy)


def _damage(path: Path, damage: Damage, rng: random.Random) -> None:
    goal = Path(f"{path}-wal") if damage.startswith("wal") else path
    num_bytes = goal.stat().st_size
    with goal.open("r+b") as file:
        if damage in ("tail_cut", "wal_cut"):
            file.truncate(rng.randrange(1, num_bytes))
        elif damage == "emptied":
            file.truncate(0)
        else:
            page = 0 if damage == "header_garbled" else rng.randrange(num_bytes // PAGE_BYTES)
            size = 100 if damage == "header_garbled" else PAGE_BYTES
            file.seek(page * PAGE_BYTES)
            file.write(bytes(size) if damage == "page_zeroed" else rng.randbytes(size))


def _use(folder: Path, truth: _State) -> tuple[Outcome, str]:
    """Read everything that the log says it has, append to it, and read again."""
    try:
        state = _state(folder)
        with MemoryLog(f"sqlite:///{folder}/log.sqlite3") as log:
            log.append(new_call(random.Random(0), "afterwards").news()[0])
            log.replay_targets("house", limit=1000, seed=0)
    except LogDamaged as exc:
        return "refused", str(exc)
    except Exception as exc:  # noqa: BLE001 - whatever else a damaged file brings about is what is looked for
        return "unclear", f"{type(exc).__name__}: {exc}"
    if state == truth:
        return "whole", ""
    return "unnoticed", f"{len(truth[0])} experiences were acknowledged, {len(state[0])} are there"


def _salvage_remarks(folder: Path, damage: Damage, truth: _State) -> list[str]:
    """What is wrong with what salvage gets out: untrue records, or fewer than the pages that are left hold."""
    lines: list[str] = []
    salvage(folder / "log.sqlite3", lines.append)
    found = {one.id: one for one in map(Experience.model_validate_json, lines)}
    remarks = [f"salvage makes up {one}" for number, one in found.items() if not _is_true(one, truth[0].get(number))]
    num_lost = len(truth[0].keys() - found.keys())
    # One page holds so many rows at most, and so many of the long texts go on on a page of their own.
    if damage in ("page_garbled", "page_zeroed", "header_garbled") and num_lost > PAGE_BYTES // LEAST_ROW_BYTES:
        remarks.append(f"salvage lost {num_lost} experiences to one damaged page")
    return remarks


def _is_true(found: Experience, truth: Experience | None) -> bool:
    return truth is not None and (found.text, found.key, found.lineage) == (truth.text, truth.key, truth.lineage)
