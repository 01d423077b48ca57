"""What the verbs of `selfparam versions` do: verify and snapshot. Both load the model, and import it when they do."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from agent.cli_display import UpdateProgress, count, print_table, size
from agent.commands import Options
from agent.home import Home
from memory_log.errors import BadInput

if TYPE_CHECKING:
    from updater.verification import VerifiedVersion

VERIFIED_HEADINGS = ("version", "refolds to", "border", "differs by", "snapshot", "note")
_SNAPSHOT_WORDS = {"none": "-", "same": "bit for bit"}


def verify(options: Options) -> int:
    """Refold versions and compare them with the log; print each, 1 where one is not what was recorded."""
    Home.open(options.home, model=options.model, create=False, to_write=False)
    if options.is_all and options.number is not None:
        raise BadInput("got a version and --all; give one of them")
    from agent.memory import AgentMemory
    from updater.verification import admitted, verify_versions

    with (
        UpdateProgress(is_plain=options.is_plain) as progress,
        AgentMemory.open(
            options.home, model=options.model, lineage=options.lineage, device=options.device, to_write=False
        ) as memory,
    ):
        progress("loading the model", 0, 1)
        base, log = memory.base, memory.log
        number = log.head(options.lineage).number if options.number is None else options.number
        numbers = admitted(log, options.lineage) if options.is_all else [memory.admitted(number)]
        found = list(
            verify_versions(
                base, log, memory.home.blob_store(), options.lineage, numbers,
                progress=lambda done, total: progress("refolding", done, total),
            )
        )  # fmt: skip
    if options.is_json:
        for one in found:
            print(one.model_dump_json())
    else:
        _print_verified(found)
    return 0 if all(one.is_sound for one in found) else 1


def _print_verified(found: Sequence["VerifiedVersion"]) -> None:
    print_table(VERIFIED_HEADINGS, list(_rows(found)))
    num_sound = sum(one.is_sound for one in found)
    print(f"{num_sound} of {count(len(found), 'version')} as recorded")


def _rows(found: Sequence["VerifiedVersion"]) -> Iterator[tuple[str, ...]]:
    words = {
        "same": "the recorded hash", "rounded otherwise": "the recorded hash, with {} rounded as elsewhere",
        "within the bound": "another hash, within the bound", "other": "something else",
    }  # fmt: skip
    for one in found:
        border = f"{one.num_undecided} of {one.num_weights}" if one.num_undecided else "-"
        differs = f"{one.largest_difference:.1e} at most" if one.num_undecided else "-"
        outcome = words[one.outcome].format(count(one.num_turned, "weight"))
        stored = _SNAPSHOT_WORDS.get(one.snapshot, one.snapshot)
        yield (str(one.version), outcome, border, differs, stored, one.reason or "")


def snapshot(options: Options) -> int:
    """Store the sums of a version, so that opening it and what comes after it reads fewer deltas."""
    Home.open(options.home, model=options.model, create=False)
    from agent.memory import AgentMemory

    with AgentMemory.open(
        options.home, model=options.model, lineage=options.lineage, device=options.device
    ) as memory:
        _ = memory.base
        number = memory.admitted(options.number)
        standing = [one for one in memory.log.snapshots(options.lineage) if one.version == number]
        if standing and not options.is_anew:
            print(f"version {number} has a snapshot already, {size(standing[0].num_bytes)}")
            return 0
        memory.log.drop_snapshots(options.lineage, [number])
        stored = memory.updater.versions.store_snapshot(options.lineage, number)
    print(f"snapshot of version {number}: {size(stored.num_bytes)}")
    return 0
