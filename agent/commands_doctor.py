"""What `selfparam doctor` does: it shows an examination of the home. Needs no model."""

from pathlib import Path

from agent.cli_display import UpdateProgress, count, printable
from agent.commands import Options
from agent.home_doctor import Examination, examine_home
from agent.home_salvage import salvage_home
from memory_log.errors import BadInput
from memory_log.findings import Finding


def doctor(options: Options) -> int:
    """Print what an examination of the home finds, and what helps; 1 where something is damaged."""
    if options.salvage is not None:
        return _salvage(options, Path(options.salvage).expanduser())
    with UpdateProgress(is_plain=options.is_plain) as progress:
        found = examine_home(options.home, is_quick=options.is_quick, is_mend=options.is_mend, progress=progress)
    if options.is_json:
        print(found.model_dump_json())
    else:
        _print(found)
    return 1 if found.num_errors else 0


def _salvage(options: Options, file: Path) -> int:
    if options.is_mend:
        raise BadInput("got --mend with --salvage; a damaged log is not mended: write it out, and import it elsewhere")
    with UpdateProgress(is_plain=options.is_plain) as progress:
        progress("reading what is left", 0, 1)
        saved = salvage_home(options.home, file)
    if options.is_json:
        print(saved.model_dump_json())
        return 0
    print(f"{file} holds {count(saved.num_written, 'experience')}")
    if saved.num_forgotten:
        print(f"  {saved.num_forgotten} forgotten, left out")
    lost = "how many are lost cannot be told" if saved.num_lost is None else f"{saved.num_lost} could not be found"
    print(f"  {lost}")
    print(f"learn them in another home with: selfparam --home NEW log import {file}")
    return 0


def _print(found: Examination) -> None:
    for sentence in found.mended:
        print(f"mended: {printable(sentence)}")
    # Damage last: in a long list it must not scroll away above notes.
    for severity in ("note", "warning", "error"):
        for finding in found.findings:
            if finding.severity == severity:
                _print_finding(finding)
    print(
        f"{count(len(found.checks), 'check')}, {count(found.num_errors, 'error')}, "
        f"{count(found.num_warnings, 'warning')}"
    )


def _print_finding(finding: Finding) -> None:
    print(f"{finding.severity} ({finding.check}): {printable(finding.what)}")
    print(f"  help: {printable(finding.mend)}")
