"""Weighing and trimming a log."""

from collections import Counter

import pytest

from memory_log.errors import BadInput
from memory_log.log import MemoryLog
from memory_log.upkeep import LogUpkeep
from tests.log_fixtures import delta, learn, lease_of, mug, target


def test_every_table_is_counted_and_weighed(log: MemoryLog, log_url: str) -> None:
    learn(log, mug("hall"), num_targets=5)
    with LogUpkeep(log_url) as upkeep:
        use, deltas = upkeep.use(), upkeep.deltas()
    rows = {table.name: table.num_rows for table in use.tables}
    assert (rows["experiences"], rows["facts"], rows["targets"], rows["live_targets"]) == (1, 1, 6, 6)
    assert (use.num_experiences, use.num_targets, use.num_experiences_with_targets) == (1, 6, 1)
    assert use.target_payload_bytes == 6 * len(b"teacher")
    assert use.num_bytes >= sum(table.num_bytes or 0 for table in use.tables) - use.free_bytes > 0
    assert [(one.path, one.state.value, one.num_bytes) for one in deltas] == [("default/1.safetensors", "admitted", 1)]


def test_trimming_leaves_open_batches_alone_and_what_is_left_can_be_drawn(log: MemoryLog, log_url: str) -> None:
    _, (first,) = learn(log, mug("hall"), num_targets=20)
    told = log.append(mug("attic"))
    lease = lease_of(log)
    batch = log.open_batch_of(lease, [told.id])
    log.store_targets(lease, batch.id, [target(told) for _ in range(20)])
    with LogUpkeep(log_url) as upkeep:
        assert upkeep.trim_targets(8, dry_run=True) == (13, 13 * len(b"teacher"))
        assert upkeep.trim_targets(8) == (13, 13 * len(b"teacher"))
        assert upkeep.trim_targets(8) == (0, 0)
    assert len(log.targets_of(first.id)) == 8 and len(log.targets_of(told.id)) == 20
    candidate = log.add_candidate(lease, batch.id, delta=delta(batch.id), weights_hash="hash", metrics={})
    log.admit(lease, candidate.number)
    drawn = Counter(one.experience_id for one in log.replay_targets("default", limit=99, seed=0))
    assert drawn == {first.id: 7, told.id: 20}


def test_a_target_that_was_trimmed_while_an_update_ran_does_not_stop_it(log: MemoryLog, log_url: str) -> None:
    _, (first,) = learn(log, mug("hall"), num_targets=20)
    superseded = [one.id for one in log.targets_of(first.id)]
    told = log.append(mug("attic"))
    lease = lease_of(log)
    batch = log.open_batch_of(lease, [told.id])
    candidate = log.add_candidate(lease, batch.id, delta=delta(batch.id), weights_hash="hash", metrics={})
    with LogUpkeep(log_url) as upkeep:
        upkeep.trim_targets(4)
    version = log.admit(lease, candidate.number, superseded=dict.fromkeys(superseded, told.id))
    assert version.number == 2 and log.replay_targets("default", limit=99, seed=0) == []


def test_a_limit_that_leaves_out_a_kind_is_refused(log: MemoryLog, log_url: str) -> None:
    with LogUpkeep(log_url) as upkeep, pytest.raises(BadInput, match="at least 4"):
        upkeep.trim_targets(3)


def test_a_server_is_told_nothing_about_wal_and_vacuum(log: MemoryLog, log_url: str) -> None:
    with LogUpkeep(log_url) as upkeep:
        assert upkeep.take_up_wal()
        if log_url.startswith("postgresql"):
            with pytest.raises(BadInput, match="by itself"):
                upkeep.vacuum()
        else:
            upkeep.vacuum()
