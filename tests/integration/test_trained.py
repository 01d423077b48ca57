"""Whole updates that train factors, a band and every weight, one after the other, and relearning over them.

The embedded model with a few steps and a lenient gate: what is looked at is the way of a change, not what is learned.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from agent.home import Home
from agent.home_backup import restore_backup, write_backup
from agent.home_doctor import examine_home
from agent.memory import AgentMemory
from agent.serving import ModelServer
from memory_log.errors import BadInput, LineageBusy, UnknownVersion
from memory_log.records import ExperienceState, VersionState
from tests.home_fixtures import nothing
from tests.integration.test_update_faults import LENIENT, SHORT, interrupt, stop_at
from tests.model_fixtures import LEARNER
from updater.export import export_version
from updater.fold import VersionWeights
from updater.language_model import weights_hash
from updater.relearning import relearn
from updater.settings import Trained
from updater.verification import admitted, verify_versions

pytestmark = pytest.mark.skipif(
    not (LEARNER / "model.safetensors").is_file(), reason=f"{LEARNER} holds no weights to learn with"
)

KINDS = (Trained(), Trained(what="band", layers=(2, 3)), Trained(what="full"))
TEXTS = ("I put the red mug in the kitchen drawer.", "Mira's favourite drink is green tea.", "Peter is in the garden.")


def opened(home: Path, trained: Trained = KINDS[0]) -> AgentMemory:
    settings = SHORT.model_copy(update={"trained": trained, "snapshot_every": 2})
    return AgentMemory.open(home, model=str(LEARNER), device="cpu", settings=settings, gate=LENIENT)


class Lived(NamedTuple):
    """A home with one version of each kind, and the number of each experience."""

    home: Path
    ids: list[int]


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    home, ids = tmp_path_factory.mktemp("trained") / "home", []
    for trained, text in zip(KINDS, TEXTS, strict=True):
        with opened(home, trained) as memory:
            ids.append(memory.tell(text).id)
            report = memory.update()
            assert report.admitted, report.reason
    return Lived(home, ids)


@pytest.fixture
def memory(lived: Lived) -> Iterator[AgentMemory]:
    with opened(lived.home) as memory:
        yield memory


def test_each_kind_of_change_is_stored_as_what_it_is(memory: AgentMemory) -> None:
    deltas = [version.delta for version in memory.versions()[1:]]
    assert [delta.kind for delta in deltas if delta is not None] == ["lowrank", "dense", "dense"]
    changes = memory.updater.versions.chain_changes("default", 3)
    numbers = {name.split(".")[2] for name in changes[1]}
    assert numbers == {"2", "3"}, "the band"
    assert "model.embed_tokens.weight" in changes[2] and len(changes[2]) > len(changes[1])


def test_every_version_refolds_to_its_hash_from_deltas_and_from_the_snapshot(memory: AgentMemory) -> None:
    found = list(verify_versions(memory.base, memory.log, memory.home.blob_store(), "default", [0, 1, 2, 3]))
    assert [one.outcome for one in found] == ["same"] * 4
    assert [one.snapshot for one in found] == ["none", "none", "same", "none"], "one is due after two versions"
    assert admitted(memory.log, "default") == [0, 1, 2, 3]
    assert examine_home(memory.home.path, progress=nothing).findings == ()


def test_the_server_takes_up_a_version_of_differences_and_answers_as_it(memory: AgentMemory) -> None:
    dialogue, weights = memory.base.dialogue, memory.updater.versions
    prompt = dialogue.prompt_ids("Where is the red mug?")
    model = memory.model(1)
    with ModelServer(
        model, eos_token_ids=set(dialogue.eos_token_ids), pad_token_id=dialogue.pad_token_id, version=1
    ) as server:
        for number in (2, 3):
            server.prepare(number, weights.weights("default", number))
            server.activate(number)
        served = server.submit(prompt).result(60)
    assert served.version == 3
    assert dialogue.tokenizer.decode(served.token_ids, skip_special_tokens=True).strip() == memory.ask(
        "Where is the red mug?", version=3
    ).text


def test_a_version_of_differences_is_exported_whole_and_as_an_adapter_where_it_can_be(
    memory: AgentMemory, tmp_path: Path
) -> None:
    parts = memory.base, memory.log, memory.updater.versions, "default"
    record = export_version(*parts, 3, tmp_path / "hf", kind="hf")
    assert record.weights_hash == memory.log.version("default", 3).weights_hash and len(record.chain) == 3
    with pytest.raises(BadInput, match="use --format hf"):
        export_version(*parts, 3, tmp_path / "peft", kind="peft")
    assert not (tmp_path / "peft").exists()


def test_a_back_up_takes_every_kind_of_delta_and_the_snapshot_along(memory: AgentMemory, tmp_path: Path) -> None:
    manifest = write_backup(memory.home, tmp_path / "b.tar", progress=nothing)
    assert manifest.num_deltas == 3 and sum("snapshot-2-" in member.name for member in manifest.members) == 1
    restore_backup(tmp_path / "b.tar", tmp_path / "again", progress=nothing)
    home = Home.open(tmp_path / "again", create=False)
    with home.open_log() as log:
        weights = VersionWeights(memory.base, log, home.blob_store()).weights("default", 3)
        assert weights_hash(weights) == log.version("default", 3).weights_hash


def test_relearning_without_one_makes_a_branch_that_never_knew_it(
    memory: AgentMemory, lived: Lived, tmp_path: Path
) -> None:
    write_backup(memory.home, tmp_path / "b.tar", progress=nothing)
    restore_backup(tmp_path / "b.tar", tmp_path / "copy", progress=nothing)
    with opened(tmp_path / "copy") as copied:
        log, updater = copied.log, copied.updater
        mug, mira, peter = lived.ids
        with pytest.raises(BadInput, match="forget them first"):
            relearn(updater, log.relearn_plan("default", [mira]))
        log.forget(mira)
        plan = log.relearn_plan("default", [mira])
        with pytest.raises(KeyboardInterrupt):
            relearn(updater, plan, progress=stop_at("training", 2, interrupt))
        assert log.head("default").number == 1 and log.get(peter).state is ExperienceState.PENDING
        assert [version.state for version in log.versions("default")[2:4]] == [VersionState.ADMITTED] * 2
        log.rollback("default", 3)  # until it is done, the way back is open
        with pytest.raises(BadInput, match="has moved"):
            relearn(updater, plan.model_copy(update={"head": 2}))
        lease = log.acquire_updater_lease("default", owner="somebody", lease_seconds=60)
        with pytest.raises(LineageBusy):
            relearn(updater, plan)
        log.release_updater_lease(lease)
        done = relearn(updater, log.relearn_plan("default", [mira]))
        (report,) = done.reports
        assert report.admitted and report.parent == 1 and [one.number for one in done.retired] == [2, 3]
        assert [one.learned_in for one in log.find([mug, peter]).values()] == [1, report.version]
        assert log.versions_knowing(mira) == []
        assert copied.ask("Where is Peter?").version == report.version
        with pytest.raises(UnknownVersion, match="retired"):
            copied.ask("Where is Peter?", version=3)
        assert examine_home(copied.home.path, progress=nothing).num_errors == 0
        assert all(one.is_sound for one in verify_versions(
            copied.base, log, copied.home.blob_store(), "default", admitted(log, "default")
        ))  # fmt: skip


@pytest.mark.parametrize("trained", KINDS, ids=lambda trained: trained.what)
def test_an_update_that_goes_astray_is_never_stored(tmp_path: Path, trained: Trained) -> None:
    poison = SHORT.model_copy(
        update={"learning_rate": 1e30, "trained": trained.model_copy(update={"dense_rate_ratio": 1.0})}
    )
    with AgentMemory.open(tmp_path / "home", model=str(LEARNER), device="cpu", settings=poison, gate=LENIENT) as memory:
        memory.tell(TEXTS[0])
        report = memory.update()
        assert not report.admitted and report.reason is not None and "not finite" in report.reason
        assert memory.log.head("default").number == 0 and memory.log.referenced_blobs() == set()
