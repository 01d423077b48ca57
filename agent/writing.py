"""Who writes about a home's experiences: the writers that its settings name, put together.

Knows every shipped writer by name. Refuses to know what they write. The key of an endpoint is looked up in the
environment that is handed in.
"""

from collections.abc import Mapping

from agent.endpoint_writer import EndpointWriter
from agent.home_settings import HomeSettings
from updater.candidates import Writer, mixed
from updater.templates import TemplateWriter
from updater.writers import written_by_model


def writer_of(settings: HomeSettings, environment: Mapping[str, str]) -> Writer:
    """The writer that settings ask for.

    Args:
        settings: of a home.
        environment: where an endpoint's key is.

    Raises:
        BadInput: a template cannot be filled in.
    """
    shares = settings.writers
    # The model stands first even without a share: near misses are what it takes for something else, so it writes them.
    parts: list[tuple[Writer, float]] = [(written_by_model, shares.get("model", 0.0))]
    if shares.get("templates"):
        parts.append((TemplateWriter(settings.templates), shares["templates"]))
    if settings.endpoint is not None and shares.get("endpoint"):
        variable = settings.endpoint.key_variable
        key = None if variable is None else environment.get(variable)
        parts.append((EndpointWriter(settings.endpoint, key), shares["endpoint"]))
    return written_by_model if len(parts) == 1 else mixed(parts)
