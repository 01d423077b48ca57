"""Examining a home: its config, log, base records, deltas, files and disk, and mending what is certain.

Knows every file of a home by its purpose. Refuses to know the log's rows, which `memory_log.doctor` examines, and what
a delta changes; it imports no torch.
"""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from sqlalchemy.exc import DBAPIError

from agent import home_files
from agent.home import BLOBS_FOLDER, CONFIG_FILE, LOG_FILE, Home, HomeConfig, read_config
from memory_log.clock import Clock, utc_now
from memory_log.doctor import LogDoctor, Progress, said
from memory_log.errors import BadInput, LogDamaged, LogUnavailable, SchemaTooNew, SelfParamError
from memory_log.fields import Record
from memory_log.findings import RESTORE, SAVE, Finding
from memory_log.records import Snapshot, Version


class Examination(Record):
    """What was examined in a home, what was found, and what was mended before.

    Example: examine_home(Path("home"), progress=print).num_errors == 0
    """

    home: str
    checks: tuple[str, ...]
    findings: tuple[Finding, ...]
    mended: tuple[str, ...]

    @property
    def num_errors(self) -> int:
        """Findings that are damage."""
        return sum(one.severity == "error" for one in self.findings)

    @property
    def num_warnings(self) -> int:
        """Findings that may become damage."""
        return sum(one.severity == "warning" for one in self.findings)


def examine_home(
    path: Path, *, is_quick: bool = False, is_mend: bool = False, progress: Progress, clock: Clock = utc_now
) -> Examination:
    """Examine a home that may be in use, its log in SQLite or PostgreSQL.

    Args:
        path: the home folder.
        is_quick: leave out what reads every byte: pages, rows and checksums.
        is_mend: put right first what can be derived for certain, and remove what a dead process left unfinished.
        progress: called with (stage, done, total).
        clock: decides what is old.

    Raises:
        BadInput: there is no home in the folder.
    """
    folder = path.expanduser().absolute()
    if not folder.is_dir() or not any(folder.iterdir()):
        raise BadInput(f"there is no memory in {folder} yet; start one with: selfparam tell TEXT")
    round_ = _Round(folder, is_quick, is_mend, progress, clock)
    round_.examine()
    return Examination(
        home=str(folder), checks=tuple(round_.checks), findings=tuple(round_.findings), mended=tuple(round_.mended)
    )


class _Round:
    """One examination under way."""

    def __init__(self, folder: Path, is_quick: bool, is_mend: bool, progress: Progress, clock: Clock) -> None:
        self._folder, self._progress, self._clock = folder, progress, clock
        self._is_quick, self._is_mend = is_quick, is_mend
        self.checks: list[str] = []
        self.findings: list[Finding] = []
        self.mended: list[str] = []
        self._snapshots: list[Snapshot] = []

    def examine(self) -> None:
        """Make every check that can be made."""
        home = self._home()
        self._check("rights", partial(home_files.check_rights, self._folder))
        if self._is_mend:
            self._mend_files()
        versions = self._log(home) if home is not None else None
        self._check("disk", partial(home_files.check_disk, self._folder))
        self._check(
            "files", lambda: home_files.check_files(self._folder, versions, self._snapshots, self._clock())
        )
        if versions is not None:
            self._check("deltas", lambda: self._deltas(versions))
            self._check(
                "snapshots", partial(home_files.check_snapshots, self._folder, self._snapshots, self._is_quick)
            )

    def _check(self, name: str, check: Callable[[], Iterator[Finding]]) -> None:
        self.checks.append(name)
        self._progress(f"checking {name}", 0, 1)
        try:
            self.findings += check()
        except (SelfParamError, OSError) as exc:
            self._found(name, f"{name} cannot be checked: {said(exc)}", SAVE)

    def _home(self) -> Home | None:
        """The home as its config says, or as the log beside a damaged one would have it."""
        self.checks.append("config")
        config = self._folder / CONFIG_FILE
        try:
            return Home(self._folder, read_config(config))
        except SchemaTooNew as exc:
            self._found("config", str(exc), "install the newer release")
            return None
        except BadInput as exc:
            self._found(
                "config", str(exc),
                f"put {config} back from a back-up; if the home has the embedded model and its log in {LOG_FILE}, "
                "move the file away, and `selfparam tell` makes it anew",
            )  # fmt: skip
        # What the model is does not matter to the checks of the log; where the log is does.
        has_log = (self._folder / LOG_FILE).exists()
        return Home(self._folder, HomeConfig(created=self._clock())) if has_log else None

    def _found(self, check: str, what: str, mend: str) -> None:
        self.findings.append(Finding(check=check, severity="error", what=what, mend=mend))

    def _log(self, home: Home) -> list[Version] | None:
        """The log's findings; its versions, None where they cannot be read."""
        self.checks.append("log")
        self._progress("opening the log", 0, 1)
        if home.config.log_url is None and not (self._folder / LOG_FILE).exists():
            if any((self._folder / BLOBS_FOLDER).rglob("*")):
                self._found("log", f"{LOG_FILE} is gone, and the deltas of its versions are there", RESTORE)
            return None
        try:
            with home.open_doctor(self._clock) as doctor:
                return self._examined(home, doctor)
        except LogDamaged as exc:
            # What follows tells other commands' users to come here.
            self._found("log", str(exc).partition("; examine it")[0], SAVE)
        except LogUnavailable as exc:
            self._found("log", str(exc), "start the server, then: selfparam doctor")
        except SchemaTooNew as exc:
            self._found("log", str(exc), "install the newer release")
        except (SelfParamError, OSError) as exc:
            self._found("log", str(exc), f"correct the log_url in {self._folder / CONFIG_FILE}, or the log's rights")
        return None

    def _examined(self, home: Home, doctor: LogDoctor) -> list[Version] | None:
        if self._is_mend:
            try:
                self.mended += doctor.mend(is_quick=self._is_quick, progress=self._progress)
            except (SelfParamError, DBAPIError) as exc:
                self._found("mending", said(exc), SAVE)
        self.checks += doctor.checks(is_quick=self._is_quick)
        self.findings += doctor.findings(is_quick=self._is_quick, progress=self._progress)
        try:
            fingerprints, versions = doctor.base_fingerprints(), doctor.versions()
            self._snapshots = doctor.snapshots()
        except (SelfParamError, DBAPIError, ValueError) as exc:
            self._found("deltas", f"base and deltas cannot be checked: {said(exc)}", SAVE)
            return None
        self._check("base", partial(home_files.check_base_records, home, fingerprints))
        return versions

    def _deltas(self, versions: list[Version]) -> Iterator[Finding]:
        return home_files.check_deltas(
            self._folder, versions, self._is_quick,
            lambda done, total: self._progress("checking deltas", done, total),
        )  # fmt: skip

    def _mend_files(self) -> None:
        self.mended += [
            f"removed {name}, which a dead process left"
            for name in home_files.remove_leftovers(self._folder, self._clock())
        ]
