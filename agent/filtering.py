"""Which filter a home applies: the one that its `config.json` names, and the one that a program gives.

Knows the shipped filters by name. Refuses to know any other: a config can come out of an archive, and must run no code.
"""

from dataclasses import dataclass
from pathlib import Path

from agent.home import Home, HomeConfig
from memory_log.records import Experience
from updater.filters import ExperienceFilter, Filtered, chain, redact_personal, trusted_agents


def named_filter(config: HomeConfig) -> ExperienceFilter:
    """What a config asks for: trust first, then redaction."""
    trust = [] if config.trusted_agents is None else [trusted_agents(config.trusted_agents)]
    return chain(*trust, *([redact_personal] if config.filter == "redact" else []))


@dataclass(frozen=True)
class HomeFilter:
    """The filter of a home, as its `config.json` has it at that moment: a change counts in every process at once."""

    path: Path

    def __call__(self, experience: Experience) -> Filtered:
        """What may be learned of the experience."""
        return named_filter(Home.open(self.path, create=False).config)(experience)


def filter_for(home: Home, own: ExperienceFilter | None) -> ExperienceFilter:
    """The home's filter, then a program's own: a program can take away more than its home does, never less."""
    from_home = HomeFilter(home.path)
    return from_home if own is None else chain(from_home, own)
