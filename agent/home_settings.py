"""How a home's updates are made: its `selfparam.toml`, what a command changes of it, and every setting listed.

Knows TOML and which settings there are. Refuses to know what they do, models, the environment; imports no torch.

The file is written by hand, so that its comments stay. A back-up leaves it out, because an endpoint in it says where
experiences are sent: nobody should come to that by restoring somebody's archive.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from agent.chat_endpoint import EndpointSettings
from memory_log.errors import BadInput
from memory_log.fields import Name, Record
from updater.settings import GateSettings, UpdateSettings

SETTINGS_FILE: Final = "selfparam.toml"
WriterName = Literal["model", "templates", "endpoint"]
Share = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Origin = Literal["default", "file", "command"]


class HomeSettings(Record):
    """What `selfparam.toml` may hold; a home without one has the defaults.

    Example: HomeSettings(writers={"model": 0.5, "templates": 0.5})
    """

    writers: dict[WriterName, Share] = Field(
        default={"model": 1.0},
        description="Who writes about experiences, and what share each; near misses are the model's.",
    )
    templates: dict[Name, tuple[str, ...]] = Field(
        default={}, description="Your own templates for questions, by relation; * is any relation."
    )
    endpoint: EndpointSettings | None = Field(
        default=None, description="The endpoint that writes, where one of the writers is `endpoint`."
    )
    update: UpdateSettings = Field(default=UpdateSettings(), description="How an update is made.")
    gate: GateSettings = Field(default=GateSettings(), description="What a version must show.")

    @model_validator(mode="after")
    def _has_writers(self) -> "HomeSettings":
        if not any(self.writers.values()):
            raise ValueError("writers: none has a share above 0; give one, such as model = 1.0")
        if self.writers.get("endpoint") and self.endpoint is None:
            raise ValueError("writers: endpoint has a share, but there is no [endpoint] with its url and model")
        return self


class Setting(Record):
    """One setting as it counts.

    Example: Setting(name="update.num_steps", value=52, origin="default", description="Most steps of an update.")
    """

    name: str
    value: Any
    origin: Origin
    description: str


def read_settings(
    home: Path, *, file: Path | None = None, changes: Mapping[str, object] | None = None
) -> HomeSettings:
    """The settings that count: defaults, then the file, then the changes.

    Args:
        home: the home folder; its `selfparam.toml` counts where `file` names no other.
        file: read in its place; has to be there.
        changes: by dotted name, such as `update.num_steps`.

    Raises:
        BadInput: a file cannot be read, or a name or value does not fit; the message says which and what would.
    """
    return _checked(_merged(_file_fields(home, file), changes or {}), home if file is None else file)


def listed_settings(
    home: Path, *, file: Path | None = None, changes: Mapping[str, object] | None = None
) -> list[Setting]:
    """Every setting with its value, where that comes from, and what it means.

    Raises:
        BadInput: see `read_settings`.
    """
    from_file, changed = _file_fields(home, file), changes or {}
    settings = read_settings(home, file=file, changes=changes)
    return [
        Setting(name=name, value=value, description=description, origin=_origin(name, from_file, changed))
        for name, value, description in _walked(settings, "")
    ]


def _origin(name: str, from_file: Mapping[str, Any], changes: Mapping[str, object]) -> Origin:
    if any(changed == name or changed.startswith(f"{name}.") for changed in changes):
        return "command"
    found: Any = from_file
    for part in name.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return "default"
        found = found[part]
    return "file"


def _file_fields(home: Path, file: Path | None) -> dict[str, Any]:
    path = home / SETTINGS_FILE if file is None else file
    try:
        with path.open("rb") as opened:
            return tomllib.load(opened)
    except FileNotFoundError as exc:
        if file is None:
            return {}
        raise BadInput(f"there is no settings file {path}; see `selfparam settings` for what one may hold") from exc
    except OSError as exc:
        raise BadInput(f"{path} cannot be read: {exc.strerror}; give yourself the right to") from exc
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise BadInput(f"{path} is no TOML: {exc}; correct it there") from exc


def _merged(fields: dict[str, Any], changes: Mapping[str, object]) -> dict[str, Any]:
    merged: dict[str, Any] = {**fields}
    for name, value in changes.items():
        *groups, last = name.split(".")
        place = merged
        for group in groups:
            inner = place.get(group)
            place[group] = dict(inner) if isinstance(inner, Mapping) else {}
            place = place[group]
        place[last] = value
    return merged


def _checked(fields: dict[str, Any], source: Path) -> HomeSettings:
    try:
        return HomeSettings.model_validate(fields)
    except ValidationError as exc:
        problems = "; ".join(_readable(error) for error in exc.errors(include_url=False, include_context=False))
        where = source / SETTINGS_FILE if source.is_dir() else source
        raise BadInput(
            f"these settings do not fit: {problems}; correct them in {where} or on the command line, `selfparam "
            "settings` lists what there is"
        ) from None


def _readable(error: Any) -> str:  # noqa: ANN401 - pydantic's own dictionary
    name = ".".join(str(part) for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        return f"there is no setting {name!r}"
    message = str(error["msg"]).removeprefix("Value error, ")
    # What is wrong with an endpoint may hold a key or a password.
    is_private = name.startswith("endpoint") or isinstance(error["input"], Mapping | BaseModel)
    got = "" if is_private else f", got {error['input']!r}"
    return f"{name + ': ' if name else ''}{message[0].lower()}{message[1:]}{got}"


def _walked(settings: BaseModel, prefix: str) -> Iterator[tuple[str, Any, str]]:
    for name, field in type(settings).model_fields.items():
        value = getattr(settings, name)
        if isinstance(value, BaseModel):
            yield from _walked(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value, field.description or ""


def writer_names() -> Sequence[str]:
    """The writers that can be chosen."""
    return get_args(WriterName)
