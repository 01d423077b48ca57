"""Probes inside a transaction: questions with known answers, for studies. Nothing that learns reads this module."""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from memory_log import experiences, tables
from memory_log.errors import BadInput
from memory_log.records import ExperienceState, NewProbe, Probe, ProbeResult
from memory_log.words import pieces

probes, probe_results = tables.probes, tables.probe_results

_COLUMNS = [probes.c[name] for name in Probe.model_fields]


def add(connection: Connection, news: Sequence[NewProbe]) -> list[int]:
    """Store probes; each belongs to the lineage of its experience."""
    asked = sorted({new.experience_id for new in news})
    about = {experience.id: experience for experience in experiences.by_ids(connection, asked)}
    gone = [number for number in asked if about[number].state is ExperienceState.FORGOTTEN]
    if gone:
        raise BadInput(f"experiences {gone} are forgotten; nothing may be asked about them")
    if not news:
        return []
    rows = [new.model_dump() | {"lineage": about[new.experience_id].lineage} for new in news]
    statement = insert(probes).returning(probes.c.id, sort_by_parameter_order=True)
    return list(connection.execute(statement, rows).scalars())


def listed(connection: Connection, lineage: str, experience_ids: Sequence[int] | None) -> list[Probe]:
    """The lineage's probes by id, or only those about some experiences."""
    ours = select(*_COLUMNS).where(probes.c.lineage == lineage).order_by(probes.c.id)
    if experience_ids is None:
        return [Probe(**row) for row in connection.execute(ours).mappings()]
    found: list[Probe] = []
    for piece in pieces(sorted(set(experience_ids))):
        statement = ours.where(probes.c.experience_id.in_(piece))
        found += [Probe(**row) for row in connection.execute(statement).mappings()]
    return sorted(found, key=lambda probe: probe.id)


def record(connection: Connection, results: Sequence[ProbeResult]) -> None:
    """Store results; asking the same version again replaces its earlier answer.

    Results of probes that no longer exist are left out: their experience was forgotten while the study ran.
    """
    standing: set[int] = set()
    for piece in pieces(sorted({result.probe_id for result in results})):
        standing |= set(connection.execute(select(probes.c.id).where(probes.c.id.in_(piece))).scalars())
    latest = {(result.probe_id, result.version): result for result in results if result.probe_id in standing}
    for result in latest.values():
        connection.execute(
            delete(probe_results).where(
                probe_results.c.probe_id == result.probe_id, probe_results.c.version == result.version
            )
        )
    if latest:
        connection.execute(insert(probe_results), [result.model_dump() for result in latest.values()])


def results(connection: Connection, lineage: str) -> list[ProbeResult]:
    """Every recorded result of the lineage, by version, then by probe."""
    statement = (
        select(probe_results)
        .join(probes, probes.c.id == probe_results.c.probe_id)
        .where(probes.c.lineage == lineage)
        .order_by(probe_results.c.version, probe_results.c.probe_id)
    )
    return [ProbeResult(**row) for row in connection.execute(statement).mappings()]


def erase_of(connection: Connection, experience_id: int) -> None:
    """Delete every probe about a forgotten experience, with its results."""
    ours = select(probes.c.id).where(probes.c.experience_id == experience_id)
    connection.execute(delete(probe_results).where(probe_results.c.probe_id.in_(ours)))
    connection.execute(delete(probes).where(probes.c.experience_id == experience_id))
