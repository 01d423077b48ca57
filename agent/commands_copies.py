"""What the commands do that take a memory in or out: export, backup, restore, import, disk, clean.

All but `export` need no model.
"""

import sys
from pathlib import Path

from agent.cli_display import UpdateProgress, count, print_table, size
from agent.commands import Options
from agent.home import Home
from agent.home_backup import restore_backup, write_backup
from agent.home_disk import Cleaned, CleanPolicy, HomeUse, clean, home_use
from agent.home_import import Imported, import_experiences, opened_source, refuse_weights
from memory_log.files import check_is_new


def export(options: Options) -> int:
    """Write a version as a folder that other programs load."""
    Home.open(options.home, model=options.model, create=False)
    from agent.memory import AgentMemory
    from updater.export import export_version

    with (
        UpdateProgress(is_plain=options.is_plain) as progress,
        AgentMemory.open(
            options.home, model=options.model, lineage=options.lineage, device=options.device
        ) as memory,
    ):
        number = memory.log.head(options.lineage).number if options.number is None else options.number
        out = Path(options.out or f"{options.lineage}-{number}-{options.format}").expanduser()
        check_is_new(out)  # before the model is loaded, which takes seconds
        progress("loading the model", 0, 1)
        versions = memory.updater.versions
        progress("writing and verifying", 0, 1)
        record = export_version(
            memory.base, memory.log, versions, options.lineage, number, out, kind=options.format
        )
    what = "the whole model" if record.format == "hf" else f"an adapter of rank {record.rank}"
    print(f"version {record.version} is in {out}: {what}, weights {record.weights_hash[:12]}")
    if record.format == "peft":
        print(f"  base      {record.base_model}, loaded as {record.dtype}")
        print(f"  rounding  {record.max_weight_difference:.1e} at most between its weights and the version's")
    return 0


def backup(options: Options) -> int:
    """Write the home into one file."""
    home = Home.open(options.home, model=options.model, create=False)
    with UpdateProgress(is_plain=options.is_plain) as progress:
        manifest = write_backup(home, Path(options.file), progress=progress)
    num_deltas = manifest.num_deltas
    print(
        f"{options.file} holds {count(manifest.num_experiences, 'experience')} and {count(num_deltas, 'delta')}, "
        f"{size(sum(member.num_bytes for member in manifest.members))}"
    )
    return 0


def restore(options: Options) -> int:
    """Make a home from a back-up."""
    with UpdateProgress(is_plain=options.is_plain) as progress:
        manifest = restore_backup(Path(options.file).expanduser(), options.home, progress=progress)
    print(
        f"{options.home} is the home of {manifest.created:%Y-%m-%d %H:%M:%S} UTC: "
        f"{count(manifest.num_experiences, 'experience')}, base model {manifest.model or 'the embedded one'}"
    )
    return 0


def import_(options: Options) -> int:
    """Take another home's experiences over."""
    with (
        UpdateProgress(is_plain=options.is_plain) as progress,
        opened_source(Path(options.source), progress=progress) as source,
    ):
        home = Home.open(options.home, model=options.model)
        if not options.is_relearn:
            refuse_weights(source, home, name=options.source, lineage=options.lineage)
        imported = import_experiences(
            source, home, name=options.source, lineage=options.lineage, progress=progress
        )
    _print_imported(imported)
    return 0


def _print_imported(imported: Imported) -> None:
    print(f"{count(imported.num_taken, 'experience')} taken over, pending")
    if imported.num_there_already:
        print(f"  {imported.num_there_already} here already")
    for state, number in imported.num_skipped.items():
        if number:
            print(f"  {number} {state.value} there, left out")
    if imported.is_older_than_known:
        print(
            "selfparam: note: this home was told newer things before; where they contradict, what is learned last "
            "counts",
            file=sys.stderr,
        )


def disk(options: Options) -> int:
    """Show what the home takes on disk."""
    use = home_use(Home.open(options.home, model=options.model, create=False))
    if options.is_json:
        print(use.model_dump_json())
    else:
        _print_use(use)
    return 0


def _print_use(use: HomeUse) -> None:
    rows = [(files.purpose, count(files.num_files, "file"), size(files.num_bytes)) for files in use.files]
    print_table(("what", "files", "size"), [*rows, ("total", "", size(use.num_bytes))])
    log = use.log
    print(f"in the log: {size(log.num_bytes)}, of which {size(log.free_bytes)} free")
    rows = [
        (f"  {table.name}", count(table.num_rows, "row"), "-" if table.num_bytes is None else size(table.num_bytes))
        for table in log.tables
        if table.num_rows
    ]
    print_table(("  table", "rows", "size"), rows)
    if log.num_experiences_with_targets:
        each = log.target_payload_bytes / log.num_experiences_with_targets
        print(
            f"targets: {log.num_targets / log.num_experiences_with_targets:.0f} sentences and {size(round(each))} of "
            "payload an experience"
        )
    if use.missing_deltas:
        print(f"missing: {', '.join(use.missing_deltas)}; restore them from a back-up")


def clean_up(options: Options) -> int:
    """Remove what the policy gives up."""
    policy = CleanPolicy(
        keep_rejected_days=options.keep_rejected_days,
        keep_snapshots=options.keep_snapshots,
        targets_per_experience=options.targets_per_experience,
        is_vacuum=options.is_vacuum,
        is_dry_run=options.is_dry_run,
    )
    home = Home.open(options.home, model=options.model, create=False)
    with UpdateProgress(is_plain=options.is_plain) as progress:
        cleaned = clean(home, policy, progress=progress)
    _print_cleaned(cleaned, policy)
    return 0


def _print_cleaned(cleaned: Cleaned, policy: CleanPolicy) -> None:
    verb = "would go" if policy.is_dry_run else "removed"
    for name in cleaned.files:
        print(f"  {name}")
    print(f"{count(len(cleaned.files), 'file')} {verb}, {size(cleaned.num_files_bytes)}")
    if policy.keep_snapshots is not None:
        print(f"{count(cleaned.num_snapshots, 'snapshot')} {verb}; a file goes once it is an hour old")
    if policy.targets_per_experience is not None:
        print(f"{count(cleaned.num_targets, 'target sentence')} {verb}, {size(cleaned.num_targets_bytes)}")
        if cleaned.num_targets and not policy.is_vacuum and not policy.is_dry_run:
            print("  the log uses their room again; --vacuum gives it back to the disk")
    if not cleaned.is_wal_taken_up:
        print("  the WAL stays until whoever reads the log has ended; run this again then")
    if not policy.is_dry_run:
        print(f"the home took {size(cleaned.bytes_before)}, now {size(cleaned.bytes_after)}")
