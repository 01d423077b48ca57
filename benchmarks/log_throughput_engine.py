"""One engine's measurement: logs of two sizes, rounds in which all contestants take turns, and the samples they leave.

Knows the order of the work and what a sample is. Refuses to know targets and results files.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.log_throughput_contestants import LINEAGE, Contestant, OurLog
from benchmarks.log_throughput_filling import Overhead, Say, fill, fill_targets
from benchmarks.log_throughput_peers import AckQueue, Procrastinate
from benchmarks.log_throughput_places import Place
from benchmarks.log_throughput_processes import process_rate
from benchmarks.log_throughput_raw import BarePostgresql, BareSqlite, RawPostgresql, RawSqlite
from benchmarks.log_throughput_timing import Case, append_rate, percentile, replay_seconds, turned

BATCH_SIZE: Final = 64
FIRST_SEED: Final = 100
CASES: Final = (Case(1, 1), Case(4, 1), Case(1, BATCH_SIZE), Case(4, BATCH_SIZE))


class Plan(NamedTuple):
    """How much is stored and how often what is done."""

    num_small: int
    num_large: int
    num_rounds: int
    num_singles: int
    """Calls in each case of single appends, by all writers together."""
    num_batches: int
    """Calls in each case of batches."""
    num_claims: int
    """Batches claimed and acknowledged in each round; `num_small` holds at least as many times 64."""
    num_peer_claims: int
    """As many times 64 experiences does a peer hand out in each round; peers are slower."""
    num_draws: int
    num_processes: int = 4
    """Whole processes that append singly at the end, for information."""

    @property
    def num_waiting(self) -> int:
        """How many of the large log wait to be learned: enough for all rounds' claims."""
        return self.num_rounds * self.num_claims * BATCH_SIZE

    @property
    def sizes(self) -> tuple[int, int]:
        """How many experiences the logs hold when a round begins."""
        return self.num_small, self.num_large


FULL: Final = Plan(
    10_000, 1_000_000, 8, num_singles=400, num_batches=40, num_claims=150, num_peer_claims=8, num_draws=50
)
QUICK: Final = Plan(
    10_000, 50_000, 3, num_singles=200, num_batches=16, num_claims=100, num_peer_claims=3, num_draws=30
)


class Key(NamedTuple):
    """What a rate or a time belongs to: `Key("ours", "single_1_writer", 10_000)`."""

    contestant: str
    work: str
    num_stored: int


class Samples:
    """What one engine's rounds measured: rates in experiences a second, times in seconds, one value a round."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rates: dict[Key, list[float]] = defaultdict(list)
        self.times: dict[Key, list[float]] = defaultdict(list)
        self.process_rates: dict[str, float] = {}
        """Of single appends by whole processes, ours and the raw driver's, measured once."""
        self.overhead = Overhead(0.0, 0.0)

    def ratios(self, other: str, kind: str) -> dict[str, list[float]]:
        """Ours over theirs in each round, of appends (`append`) or of claims with acknowledgement (`claim`)."""
        found = {}
        for key, theirs in self.rates.items():
            if key.contestant == other and (key.work == "claim") == (kind == "claim"):
                ours = self.rates[key._replace(contestant="ours")]
                name = f"{key.num_stored}" if kind == "claim" else f"{key.work}_{key.num_stored}"
                found[name] = [mine / their for mine, their in zip(ours, theirs, strict=True)]
        return found

    def growth(self, work: str) -> list[float]:
        """How many times longer our own work takes with many stored than with few, in each round."""
        small, large = (self.times[Key("ours", work, size)] for size in self.plan.sizes)
        return [many / few for many, few in zip(large, small, strict=True)]

    def informative(self) -> Iterator[tuple[str, list[float], str]]:
        """Name, values and unit of what has no target."""
        for key, rates in self.rates.items():
            yield f"{key.contestant}_{key.work}_{key.num_stored}", rates, "experiences/second"
        for key, seconds in self.times.items():
            yield f"{key.contestant}_{key.work}_{key.num_stored}", [1000 * value for value in seconds], "milliseconds"
        for name, rate in self.process_rates.items():
            work = f"single_{self.plan.num_processes}_processes_{self.plan.num_small}"
            yield f"{name}_{work}", [rate], "experiences/second"
        for work in ("claim_p50", "replay_p50"):
            yield f"{work}_growth", self.growth(work), "ratio"
        yield "overhead_bytes_waiting", [self.overhead.waiting], "bytes"
        yield "overhead_bytes_learned", [self.overhead.learned], "bytes"


def measure(place: Place, plan: Plan, folder: Path, say: Say) -> Samples:
    """All rounds on one engine."""
    samples = Samples(plan)
    fill(place, "small", plan.num_small, num_waiting=plan.num_small, say=say)
    samples.overhead = fill(place, "large", plan.num_large, num_waiting=plan.num_waiting, say=say)
    for name in ("ours", "raw"):
        place.copy("large", f"large_{name}")
    for size in plan.sizes:
        place.make(f"bare_{size}")
        place.make(f"peer_{size}")
    with ExitStack() as opened:
        peers = {size: opened.enter_context(closing(_peer(place, folder, size))) for size in plan.sizes}
        say(f"{place.engine}: rounds begin")
        for turn in range(plan.num_rounds):
            _round(place, plan, turn, peers, samples)
            say(f"{place.engine}: round {turn + 1} of {plan.num_rounds} is done")
    for name, kind in (("ours", "ours"), ("raw", f"raw_{place.engine}")):
        url = place.url(f"small_{name}")
        samples.process_rates[name] = process_rate(
            kind, url, num_processes=plan.num_processes, num_calls=plan.num_singles, seed=FIRST_SEED - 1
        )
    _draw(place, plan, samples)
    say(f"{place.engine}: replay is drawn")
    return samples


def _peer(place: Place, folder: Path, size: int) -> Contestant:
    if place.engine == "sqlite":
        return AckQueue(folder / f"ack_queue_{size}", size)
    return Procrastinate(place.url(f"peer_{size}"), size)


def _round(place: Place, plan: Plan, turn: int, peers: dict[int, Contestant], samples: Samples) -> None:
    raw, bare = (RawSqlite, BareSqlite) if place.engine == "sqlite" else (RawPostgresql, BarePostgresql)
    for name in ("ours", "raw"):
        place.drop(f"small_{name}")
        place.copy("small", f"small_{name}")
    for size, label in zip(plan.sizes, ("small", "large"), strict=True):
        with ExitStack() as opened:
            contestants: dict[str, Contestant] = {
                "ours": opened.enter_context(closing(OurLog(place.url(f"{label}_ours")))),
                "raw": opened.enter_context(closing(raw(place.url(f"{label}_raw")))),
                "bare": opened.enter_context(closing(bare(place.url(f"bare_{size}")))),
                "peer": peers[size],
            }
            _appends(contestants, plan, turn, size, samples)
            _claims(contestants, plan, turn, size, samples)


def _appends(contestants: dict[str, Contestant], plan: Plan, turn: int, size: int, samples: Samples) -> None:
    for number, case in enumerate(CASES):
        num_calls = plan.num_singles if case.batch_size == 1 else plan.num_batches
        seed = (turn * len(plan.sizes) + plan.sizes.index(size)) * len(CASES) + number + FIRST_SEED
        for name in turned(list(contestants), turn):
            rate = append_rate(contestants[name], case, num_calls, seed)
            samples.rates[Key(name, case.name, size)].append(rate)


def _claims(contestants: dict[str, Contestant], plan: Plan, turn: int, size: int, samples: Samples) -> None:
    for name in turned(["ours", "raw", "peer"], turn):
        num_batches = plan.num_peer_claims if name == "peer" else plan.num_claims
        learned = contestants[name].learn(num_batches, BATCH_SIZE)
        samples.rates[Key(name, "claim", size)].append(learned.num_experiences / learned.seconds)
        if learned.claim_seconds:
            samples.times[Key(name, "claim_p50", size)].append(percentile(learned.claim_seconds, 0.5))
            samples.times[Key(name, "claim_p99", size)].append(percentile(learned.claim_seconds, 0.99))


def _draw(place: Place, plan: Plan, samples: Samples) -> None:
    labels = dict(zip(plan.sizes, ("small_ours", "large_ours"), strict=True))
    for size, label in labels.items():
        fill_targets(place, label, size)
    with ExitStack() as opened:
        logs = {size: opened.enter_context(closing(OurLog(place.url(label)))).log for size, label in labels.items()}
        for turn in range(plan.num_rounds):
            for size, log in logs.items():
                seconds = replay_seconds(log, LINEAGE, BATCH_SIZE, plan.num_draws, turn * plan.num_draws)
                samples.times[Key("ours", "replay_p50", size)].append(percentile(seconds, 0.5))
                samples.times[Key("ours", "replay_p99", size)].append(percentile(seconds, 0.99))
