"""What is said when an update finds nothing to claim."""

from pathlib import Path

from memory_log import claims
from memory_log.log import MemoryLog
from tests.log_fixtures import HandClock, experience, lease_of


def test_what_is_told_between_two_looks_is_not_called_put_off(tmp_path: Path) -> None:
    clock = HandClock()
    with MemoryLog(f"sqlite:///{tmp_path / 'log.db'}", clock=clock) as log:
        log.append(experience("It came after an update had found nothing."))
        with log._database.reading() as tx:
            assert "append some first" in str(claims._nothing(tx, "default"))
        for _ in range(2):
            log.open_batch(lease_of(log, seconds=10), limit=1)
            clock.advance(11)
        lease_of(log)
        log.append(experience("So did this."))
        with log._database.reading() as tx:
            assert "the 1 pending experiences" in str(claims._nothing(tx, "default"))
