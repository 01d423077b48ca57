"""docs/updates.md lists the settings as they are, and tells of every reason that a refusal can have."""

import pytest
from pydantic import BaseModel

from benchmarks.settings_tables import LISTED, PAGE, tables, with_tables
from updater.report import COLLAPSE, NO_CONTEXT_GAIN, NOT_FINITE, TOO_LONG, RefusalKind


def test_the_page_lists_the_settings_in_the_models_own_words() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert with_tables(page, tables()) == page, "run: python -m benchmarks.settings_tables"


def fields_of(model: type[BaseModel]) -> list[str]:
    inner = [type(field.default) for field in model.model_fields.values() if isinstance(field.default, BaseModel)]
    return [*model.model_fields, *(name for one in inner for name in fields_of(one))]


def test_every_setting_has_a_row_and_says_what_it_means() -> None:
    made = tables()
    for name in (name for model in LISTED for name in fields_of(model)):
        assert f"| `{name}` |" in made
    assert "| None |\n" not in made, "a setting without a description"


def test_the_page_tells_of_every_reason() -> None:
    page = PAGE.read_text(encoding="utf-8")
    said = {
        RefusalKind.MATERIAL: (NO_CONTEXT_GAIN[:15], TOO_LONG[:8]), RefusalKind.COLLAPSE: (COLLAPSE[:25],),
        RefusalKind.NOT_FINITE: (NOT_FINITE.partition(";")[0],), RefusalKind.DIVERGED: ("their KL went",),
        RefusalKind.EFFICACY: ("efficacy ... is below",), RefusalKind.UNMEASURED: ("no held-out question",),
        RefusalKind.FALSE_RECALL: ("false recall ...",), RefusalKind.RETENTION: ("retention ... fell",),
        RefusalKind.READING: ("reading from the prompt fell",), RefusalKind.DRIFT: ("drift on anchors",),
    }  # fmt: skip
    assert said.keys() == set(RefusalKind)
    for kind, openings in said.items():
        assert all(opening in page for opening in openings), kind


def test_what_stands_around_the_marks_stays() -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, after = page[:100], page[-20:]
    changed = with_tables(page, "other\n")
    assert changed.startswith(before) and changed.endswith(after) and "| `num_steps` |" not in changed
    with pytest.raises(ValueError, match="marks"):
        with_tables("no marks", "other\n")
