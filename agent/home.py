"""The home folder: where one computer keeps an agent's memory, and which base model that memory is made for.

Knows `config.json`, `log.sqlite3` and `blobs/`. Refuses to know what the model computes: it imports no torch, so that
telling the agent something is quick.
"""

import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from pydantic import AwareDatetime, Field, ValidationError
from sqlalchemy.engine import URL

from agent.seed_model import WEIGHTS_FOLDER
from memory_log.blobs import BlobStore
from memory_log.clock import Clock, utc_now
from memory_log.disk import naming_a_full_disk
from memory_log.engines import Durability
from memory_log.errors import BadInput, BaseModelChanged, DiskFull, LogDamaged, NotAModel, SchemaTooNew
from memory_log.fields import Name, Record
from memory_log.files import sync, write_once, written_aside
from memory_log.log import MemoryLog
from memory_log.upkeep import LogUpkeep

if TYPE_CHECKING:
    from memory_log.doctor import LogDoctor

DEFAULT_HOME: Final = ".selfparam"
HOME_VARIABLE: Final = "SELFPARAM_HOME"
CONFIG_SCHEMA_VERSION: Final = 3
CONFIG_FILE: Final = "config.json"
LOG_FILE: Final = "log.sqlite3"
BLOBS_FOLDER: Final = "blobs"
BASES_FOLDER: Final = "bases"

_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?", re.ASCII)
Opened = TypeVar("Opened")


class HomeConfig(Record):
    """What `config.json` holds. Written when the home is made and when its filter is set, whole or not at all;
    `log_url` may be put in before the first use, `durability` at any time.

    Example: HomeConfig(model=None, created=utc_now())
    """

    schema_version: int = Field(default=CONFIG_SCHEMA_VERSION, description="Layout of the home folder.")
    model: str | None = Field(
        default=None, description="Absolute path or Hugging Face id of the base model; null is the embedded one."
    )
    log_url: str | None = Field(default=None, description="postgresql://... ; null is log.sqlite3 in the home folder.")
    durability: Durability = Field(
        default="full", description="full: what was told survives a power loss; fast: only the death of processes."
    )
    anchors: str | None = Field(
        default=None,
        description="Text file or folder of unrelated text, on which updates must not move the model; null leaves the "
        "choice to the model.",
    )
    filter: Literal["redact"] | None = Field(
        default=None, description="Shipped filter for what is learned; null lets everything through."
    )
    trusted_agents: tuple[Name, ...] | None = Field(
        default=None, description="Agents whose experiences may be learned; null is everybody's."
    )
    created: AwareDatetime = Field(description="When the home was made, UTC.")


def resolve_home(option: str | None, environment: Mapping[str, str]) -> Path:
    """The home folder that counts: the option, else SELFPARAM_HOME, else `.selfparam` in the working folder.

    Raises:
        BadInput: the option is empty, which would scatter a memory over the working folder.
    """
    if option is not None and not option:
        raise BadInput("got an empty home; name a folder, or leave --home out")
    return Path(option or environment.get(HOME_VARIABLE) or DEFAULT_HOME)


class Home:
    """One home folder, opened. Any number of processes may open the same one at once.

    Example:
        home = Home.open(".selfparam")
        with home.open_log() as log:
            log.append(NewExperience(text="I put the red mug in the kitchen drawer."))
    """

    def __init__(self, path: Path, config: HomeConfig) -> None:
        self.path = path
        self.config = config

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        model: str | None = None,
        create: bool = True,
        to_write: bool = True,
        clock: Clock = utc_now,
    ) -> "Home":
        """Open the home folder, making it when there is none.

        Args:
            path: the folder; `~` is expanded.
            model: folder or Hugging Face id of the base model, remembered by a new home. None takes what the home has;
                a new one gets the embedded model.
            create: whether a missing home is made.
            to_write: whether a home that cannot be written is refused; otherwise its log can be read.
            clock: gives the time of creation.

        Raises:
            BadInput: the path is a file, cannot be written, holds somebody else's config.json, or is missing and may
                not be made.
            BaseModelChanged: the home was made with another model.
            NotAModel: `model` is neither a model folder nor a Hugging Face id.
            SchemaTooNew: a newer release made the home.
        """
        folder = _absolute(path)
        wanted = None if model is None else _canonical_model(model)
        if not (folder / CONFIG_FILE).exists():
            if not create:
                raise BadInput(f"there is no memory in {folder} yet; start one with: selfparam tell TEXT")
            _make(folder, HomeConfig(model=wanted, created=clock()))
        home = cls(folder, read_config(folder / CONFIG_FILE))
        if to_write and not home.is_writable:
            raise BadInput(
                f"the home {folder} cannot be written; give yourself the right to, or choose another --home "
                "(ask, log and versions read it as it is)"
            )
        if model is not None and wanted != home.config.model:
            raise BaseModelChanged(
                f"the home {folder} was made with {_named(home.config.model)}, got {_named(wanted)}; what it has "
                "learned fits no other model: leave --model out, or start another home with --home NEW, where that "
                f"model can learn it anew: selfparam --home NEW --model {model} import {folder} --relearn"
            )
        return home

    @property
    def model_source(self) -> str:
        """The folder or Hugging Face id of the base model."""
        return self.config.model if self.config.model is not None else str(WEIGHTS_FOLDER)

    @property
    def is_writable(self) -> bool:
        """Whether this process may write the folder, and the log in it."""
        log = self.path / LOG_FILE
        return os.access(self.path, os.W_OK) and (not log.exists() or os.access(log, os.W_OK))

    def open_log(self) -> MemoryLog:
        """The durable log; close it, or use it in a `with`. Of a home that cannot be written it can only be read."""
        durability = self.config.durability
        return self._opened(partial(MemoryLog, is_readonly=self._is_readonly, durability=durability))

    def open_upkeep(self) -> LogUpkeep:
        """What the log takes and how to make it less; close it, or use it in a `with`."""
        return self._opened(LogUpkeep)

    def open_doctor(self, clock: Clock = utc_now) -> "LogDoctor":
        """The log's examination; close it, or use it in a `with`. What cannot be written is not mended."""
        from memory_log.doctor import LogDoctor  # every command opens a home, and one examines it

        return self._opened(partial(LogDoctor, clock=clock, is_readonly=self._is_readonly))

    @property
    def _is_readonly(self) -> bool:
        return self.config.log_url is None and not self.is_writable

    def _opened(self, kind: Callable[[str], Opened]) -> Opened:
        url = self.config.log_url
        if url is None:
            self._check_log_is_there()
            url = URL.create("sqlite", database=str(self.path / LOG_FILE)).render_as_string(hide_password=False)
        try:
            return kind(url)
        except ModuleNotFoundError as exc:
            raise BadInput(
                f"the log_url in {self.path / CONFIG_FILE} needs a database driver that is not installed "
                f"({exc.name}); install it with: pip install 'selfparam[postgres]'"
            ) from exc

    def _check_log_is_there(self) -> None:
        # A log is made before the first delta. One that is gone is not begun anew: new versions would take the numbers
        # of those whose deltas lie here, and nobody would learn that everything else is lost.
        log, blobs = self.path / LOG_FILE, self.path / BLOBS_FOLDER
        if not log.exists() and any(blobs.rglob("*.safetensors")):
            raise LogDamaged(
                f"the log {log} is gone, and {blobs} holds the deltas of its versions; restore a back-up, or move "
                "that folder away if you mean to begin anew"
            )

    def set_filter(self, name: Literal["redact"] | None, trusted_agents: Sequence[str] | None) -> "Home":
        """Write into `config.json` which shipped filter applies from now on; the home as it is then.

        Args:
            name: `redact`, or None for no redaction.
            trusted_agents: whose experiences may be learned; None is everybody's.

        Raises:
            BadInput: a name is empty or too long, or the file cannot be written.
        """
        changes = {"schema_version": CONFIG_SCHEMA_VERSION, "filter": name, "trusted_agents": trusted_agents}
        path = self.path / CONFIG_FILE
        config = _validated(path, {**read_config(path).model_dump(), **changes})
        try:
            with naming_a_full_disk(self.path), written_aside(path, _as_text(config)) as aside:
                aside.rename(path)
                sync(self.path)
        except DiskFull:
            raise
        except OSError as exc:
            raise BadInput(f"{path} cannot be written: {exc.strerror}; give yourself the right to") from exc
        return Home(self.path, config)

    def blob_store(self) -> BlobStore:
        """Where the deltas lie."""
        return BlobStore(self.path / BLOBS_FOLDER)


def _absolute(path: str | Path) -> Path:
    try:
        folder = Path(path).expanduser().absolute()
        if "\0" not in str(folder) and str(folder).encode():
            return folder
    except (RuntimeError, UnicodeEncodeError) as exc:
        raise BadInput(f"{str(path)!r} cannot be a home: {exc}; give another path") from exc
    raise BadInput(f"{str(path)!r} cannot be a home: it holds a NUL character; give another path")


def _named(model: str | None) -> str:
    return "the embedded model" if model is None else f"the model {model!r}"


def _canonical_model(model: str) -> str | None:
    """A hub id or an absolute folder, which means the same from every working folder; None for the embedded model."""
    folder = Path(model).expanduser() if model.startswith("~/") else Path(model)
    if not model or "\0" in model:
        raise NotAModel(f"{model!r} is not a model: give a folder written by save_pretrained, or a Hugging Face id")
    if folder.is_absolute() or model.startswith((".", "~")) or folder.exists():
        if not (folder / "config.json").is_file():
            raise NotAModel(
                f"{model!r} is not a model folder: it has no config.json; give a folder written by save_pretrained, "
                "or a Hugging Face id"
            )
        return None if folder.resolve() == WEIGHTS_FOLDER.resolve() else str(folder.resolve())
    if not _HUB_ID.fullmatch(model):
        raise NotAModel(f"{model!r} is neither a folder nor a Hugging Face id such as 'owner/name'; check the spelling")
    return model


def _make(folder: Path, config: HomeConfig) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_once(folder / CONFIG_FILE, _as_text(config))
    except DiskFull:
        raise
    except (FileExistsError, NotADirectoryError) as exc:
        raise BadInput(
            f"{folder} cannot be a home: a file is in its place ({exc.filename}); choose another --home"
        ) from exc
    except OSError as exc:
        raise BadInput(
            f"the home {folder} cannot be made: {exc.strerror}; choose a folder that can be written with --home"
        ) from exc


def _as_text(config: HomeConfig) -> str:
    return config.model_dump_json(indent=2) + "\n"


def read_config(path: Path) -> HomeConfig:
    """What a home's `config.json` says.

    Raises:
        BadInput: it is missing, damaged, or somebody else's.
        SchemaTooNew: a newer release made the home.
    """
    try:
        fields = json.loads(path.read_bytes())
        schema_version = fields["schema_version"]
    except (ValueError, KeyError, TypeError, IsADirectoryError) as exc:
        raise BadInput(f"{path} is not the config of a home; choose another folder with --home") from exc
    except OSError as exc:
        raise BadInput(f"{path} cannot be read: {exc.strerror}; choose another folder with --home") from exc
    if isinstance(schema_version, int) and schema_version > CONFIG_SCHEMA_VERSION:
        raise SchemaTooNew(
            f"the home {path.parent} has schema version {schema_version}, this release reads up to "
            f"{CONFIG_SCHEMA_VERSION}; install the newer release that made it, or choose another --home"
        )
    return _validated(path, fields)


def _validated(path: Path, fields: object) -> HomeConfig:
    try:
        return HomeConfig.model_validate(fields)
    except ValidationError as exc:
        problems = "; ".join(f"{'.'.join(map(str, error['loc']))}: {error['msg']}" for error in exc.errors())
        raise BadInput(f"{path} is damaged ({problems}); correct it, or choose another folder with --home") from exc
