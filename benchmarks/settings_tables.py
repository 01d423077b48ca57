"""Writes the tables of settings in docs/updates.md from the models' own words: `python -m benchmarks.settings_tables`.

Knows: which models are listed, and between which marks. Refuses to know: what a setting does.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from agent.due import Schedule
from updater.settings import GateSettings, UpdateSettings

PAGE: Final = Path(__file__).parents[1] / "docs" / "updates.md"
BEGIN: Final = "<!-- settings: python -m benchmarks.settings_tables -->\n"
END: Final = "<!-- end of settings -->\n"
LISTED: Final[tuple[type[BaseModel], ...]] = (UpdateSettings, GateSettings, Schedule)


def tables() -> str:
    """A table for every listed model and every model within one."""
    return "\n".join(part for model in LISTED for part in _tables_of(model, f"`{model.__name__}`"))


def _tables_of(model: type[BaseModel], title: str) -> Iterator[str]:
    rows = [f"| `{name}` | {_default(field)} | {field.description} |" for name, field in model.model_fields.items()]
    yield f"{title}:\n\n| setting | default | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"
    for name, field in model.model_fields.items():
        if isinstance(field.default, BaseModel):
            yield from _tables_of(type(field.default), f"`{type(field.default).__name__}`, which is `{name}`")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "to be given"
    if isinstance(field.default, BaseModel):
        return "see below"
    return f"{field.default:.3g}" if isinstance(field.default, float) else str(field.default)


def with_tables(page: str, made: str) -> str:
    """The page with these tables between its marks.

    Raises:
        ValueError: the page has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} needs the marks {BEGIN.strip()!r} and {END.strip()!r}, in this order")
    return f"{before}{BEGIN}{made}{END}{after}"


def main() -> int:
    """Write the page. The exit code."""
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8"), tables()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
