"""What the command `settings` does, and how other commands get the settings that their options change."""

import json
from pathlib import Path

from agent.cli_display import print_table, printable
from agent.commands import Options
from agent.home import Home
from agent.home_settings import HomeSettings, listed_settings, read_settings

SETTING_HEADINGS = ("setting", "value", "from", "meaning")


def chosen_settings(options: Options) -> HomeSettings:
    """The settings of the home, with the changes that the command asks for.

    Raises:
        BadInput: a file, a name or a value does not fit.
    """
    return read_settings(Home.open(options.home, create=False).path, file=_file(options), changes=_changes(options))


def show_settings(options: Options) -> int:
    """Print every setting; a home that is not there yet has the defaults."""
    home = options.home.expanduser().absolute()
    found = listed_settings(home, file=_file(options), changes=_changes(options))
    if options.is_json:
        for one in found:
            print(one.model_dump_json())
    else:
        rows = [(one.name, printable(_shown(one.value)), one.origin, one.description) for one in found]
        print_table(SETTING_HEADINGS, rows)
    return 0


def _shown(value: object) -> str:
    return "-" if value is None else value if isinstance(value, str) else json.dumps(value)


def _file(options: Options) -> Path | None:
    return None if options.settings_file is None else Path(options.settings_file).expanduser()


def _changes(options: Options) -> dict[str, object]:
    changes: dict[str, object] = dict(options.changes)
    return changes | {"writers": dict(options.writers)} if options.writers else changes
