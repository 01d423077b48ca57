"""Disk use that adds up, and clean-up that takes only what nothing needs."""

import os
from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from agent.home import Home
from agent.home_backup import restore_backup, write_backup
from agent.home_disk import Cleaned, CleanPolicy, clean, home_use
from memory_log.clock import utc_now
from memory_log.disk_use import LogUse
from memory_log.errors import BadInput
from memory_log.records import VersionState
from memory_log.trimming import kept_counts, spread
from tests.home_fixtures import learned_home, nothing
from tests.log_fixtures import delta, experience, learn, lease_of, mug, target

HOUR = 3600


def bytes_on_disk(home: Home) -> int:
    return sum(path.stat().st_size for path in home.path.rglob("*") if path.is_file())


def add_rejected(home: Home) -> str:
    """A rejected version with its delta file; the file's name."""
    with home.open_log() as log:
        lease = lease_of(log)
        batch = log.open_batch(lease, limit=1)
        name = f"default/{batch.id}.safetensors"
        home.blob_store().put(name, str(batch.id).encode())
        candidate = log.add_candidate(lease, batch.id, delta=delta(batch.id), weights_hash="hash", metrics={})
        log.reject(lease, candidate.number, "no good")
        log.release_updater_lease(lease)
    return name


def add_strangers(home: Home) -> list[str]:
    names = ["default/9.safetensors", "default/9.safetensors.1.ff.unfinished", "stray"]
    for name in names:
        (home.path / "blobs" / name).write_bytes(b"stranger")
    return names


def grow_old(home: Home, *names: str) -> None:
    for name in names:
        old = (utc_now() - timedelta(seconds=2 * HOUR)).timestamp()
        os.utime(home.path / "blobs" / name, (old, old))


def cleaned(home: Home, **fields: object) -> Cleaned:
    return clean(home, CleanPolicy(**fields), progress=nothing)


def test_every_file_is_counted_once_and_the_log_tells_its_tables(tmp_path: Path) -> None:
    home = learned_home(tmp_path / "home")
    add_rejected(home)
    add_strangers(home)
    use = home_use(home)
    assert use.num_bytes == sum(files.num_bytes for files in use.files)
    counts = {files.purpose: files.num_files for files in use.files if not files.purpose.startswith("log, ")}
    assert counts == {
        "deltas, admitted": 2, "deltas, rejected": 1, "deltas, orphaned": 2, "unfinished": 1, "log": 1, "other": 1,
    }  # fmt: skip
    cleaned(home)  # empties the WAL, so that what is weighed is what lies there
    after = home_use(home)
    assert after.log.num_bytes == (home.path / "log.sqlite3").stat().st_size
    rows = {table.name: table.num_rows for table in use.log.tables}
    assert (rows["experiences"], rows["targets"], rows["versions"], rows["live_targets"]) == (3, 4, 4, 4)
    assert use.log.num_targets == 4 and use.log.target_payload_bytes == 4 * len(b"teacher")
    assert use.log.num_experiences_with_targets == 2 and use.missing_deltas == ()


def test_the_tables_and_the_free_pages_add_up_to_the_log(tmp_path: Path) -> None:
    log: LogUse = home_use(learned_home(tmp_path / "home")).log
    sizes = [table.num_bytes for table in log.tables]
    if None in sizes:
        pytest.skip("this SQLite is built without dbstat")
    assert sum(size for size in sizes if size is not None) + log.free_bytes == log.num_bytes


def test_a_delta_that_is_gone_is_named(tmp_path: Path) -> None:
    home = learned_home(tmp_path / "home")
    (home.path / "blobs/default/1.safetensors").unlink()
    assert home_use(home).missing_deltas == ("default/1.safetensors",)


def test_clean_spares_what_is_referenced_and_what_is_young(tmp_path: Path) -> None:
    home = learned_home(tmp_path / "home")
    rejected, strangers = add_rejected(home), add_strangers(home)
    assert cleaned(home, keep_rejected_days=0).files == ()  # all are young
    grow_old(home, *strangers, rejected, "default/1.safetensors", "default/2.safetensors")
    assert cleaned(home, is_dry_run=True).files == tuple(sorted(strangers))
    assert (home.path / "blobs" / strangers[0]).exists()
    took = cleaned(home)
    assert took.files == tuple(sorted(strangers)) and took.num_files_bytes == 3 * len(b"stranger")
    assert took.is_wal_taken_up and took.bytes_after == bytes_on_disk(home)
    assert cleaned(home, keep_rejected_days=0).files == (rejected,)
    assert sorted(home.blob_store().sizes()) == ["default/1.safetensors", "default/2.safetensors"]
    with home.open_log() as log:
        assert all(home.blob_store().path_verified(v.delta) for v in log.chain("default", 2) if v.delta)
        assert log.version("default", 3).state is VersionState.REJECTED


def test_a_running_update_keeps_its_delta(tmp_path: Path) -> None:
    home = learned_home(tmp_path / "home")
    with home.open_log() as log:
        lease = lease_of(log)
        batch = log.open_batch(lease, limit=1)
        home.blob_store().put(f"default/{batch.id}.safetensors", str(batch.id).encode())
        candidate = log.add_candidate(lease, batch.id, delta=delta(batch.id), weights_hash="hash", metrics={})
        grow_old(home, f"default/{batch.id}.safetensors")
        assert cleaned(home, keep_rejected_days=0).files == ()
        admitted = log.admit(lease, candidate.number)
        assert admitted.delta is not None and home.blob_store().path_verified(admitted.delta)


def many_targets(home: Home) -> int:
    """A learned experience with 40 target sentences, a quarter near misses, a fifth of each held out; its id."""
    with home.open_log() as log:
        told = log.append(mug("hall"))
        lease = lease_of(log)
        batch = log.open_batch_of(lease, [told.id])
        news = [
            target(
                told,
                kind="near_miss" if number % 4 == 0 else "question",
                held_out=number % 20 in (0, 1, 2, 3),
                prompt=f"Where is it, {number}?",
                payload=bytes(100),
            )
            for number in range(40)
        ]
        log.store_targets(lease, batch.id, news)
        candidate = log.add_candidate(lease, batch.id, delta=delta(batch.id), weights_hash="hash", metrics={})
        log.admit(lease, candidate.number)
        log.release_updater_lease(lease)
    return told.id


def test_surplus_targets_go_in_proportion_and_replay_draws_what_is_left(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    number = many_targets(home)
    would = cleaned(home, targets_per_experience=20, is_dry_run=True)
    with home.open_log() as log:
        assert len(log.targets_of(number)) == 40
    took = cleaned(home, targets_per_experience=20)
    assert (took.num_targets, took.num_targets_bytes) == (20, 2000) == (would.num_targets, would.num_targets_bytes)
    with home.open_log() as log:
        left = log.targets_of(number)
        assert Counter((one.kind, one.held_out) for one in left) == {
            ("question", False): 12, ("question", True): 3, ("near_miss", False): 4, ("near_miss", True): 1,
        }  # fmt: skip
        replay = log.replay_targets("default", limit=99, seed=0)
        held_out = log.held_out_targets("default", limit=99, seed=0)
        assert sorted(one.id for one in [*replay, *held_out]) == [one.id for one in left]
    assert cleaned(home, targets_per_experience=20).num_targets == 0


def test_targets_that_are_live_stay_rather_than_superseded_ones(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    number = many_targets(home)
    with home.open_log() as log:
        questions = [t.id for t in log.targets_of(number) if t.kind == "question" and not t.held_out]
        gone = questions[: len(questions) // 2]
        _, newer = learn(log, mug("attic"))
        learn(log, mug("cellar"), superseded=dict.fromkeys(gone, newer[0].id))
        cleaned(home, targets_per_experience=20)
        kept = {t.id for t in log.targets_of(number)} & set(questions)
        assert len(kept) == 12 and not kept & set(gone)
        log.rollback("default", 1)
        assert len(log.replay_targets("default", limit=99, seed=0)) == 16


def test_a_vacuum_gives_the_room_back(tmp_path: Path) -> None:
    home = Home.open(tmp_path / "home")
    for _ in range(3):
        many_targets(home)
    with home.open_log() as log:
        told = log.append_many([experience("hall " * 1000) for _ in range(50)])
        for one in told:
            log.forget(one.id)
    took = cleaned(home, is_vacuum=True)
    assert took.is_wal_taken_up and took.bytes_after < took.bytes_before / 2
    assert home_use(home).log.free_bytes == 0


@pytest.mark.parametrize("fields", [{"targets_per_experience": 3}, {"keep_rejected_days": 10**9}])
def test_a_policy_that_cannot_be_is_refused(tmp_path: Path, fields: dict[str, int]) -> None:
    with pytest.raises(BadInput):
        cleaned(Home.open(tmp_path / "home"), **fields)


def test_proportions_keep_one_of_each_and_reach_the_limit() -> None:
    assert kept_counts({"question": 30, "near miss": 10}, 8) == {"question": 6, "near miss": 2}
    assert kept_counts({"many": 97, "one": 1, "another": 1, "third": 1}, 4) == dict.fromkeys(
        ("many", "one", "another", "third"), 1
    )
    assert kept_counts({"many": 90, "few": 10}, 50) == {"many": 45, "few": 5}
    assert kept_counts({"few": 3}, 50) == {"few": 3}


def test_what_is_kept_is_spread_over_all() -> None:
    assert spread(range(10), 2) == [2, 7]
    assert spread("abc", 5) == ["a", "b", "c"] and spread("abc", -1) == [] == spread("", 2)


def test_bells_that_hang_are_no_files_of_a_home_and_in_nobodys_way(tmp_path: Path) -> None:
    home = learned_home(tmp_path / "home")
    with home.open_log() as log:
        before = home_use(home)
        bell = log.bell("default")
        assert home_use(home) == before
        cleaned(home)
        write_backup(home, tmp_path / "home.tar", progress=nothing)
        log.append(mug("attic"))
        assert bell.wait(0), "somebody took the bell away"
        bell.close()
    restore_backup(tmp_path / "home.tar", tmp_path / "again", progress=nothing)
    assert not (tmp_path / "again" / "log.sqlite3-bells").exists()
