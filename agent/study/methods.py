"""The methods that are measured beside each other, each as something that learns experiences and then answers.

Knows: what each method keeps, and what it gives the model to read. Refuses to know: protocols, questions' answers,
measures. Those that train for themselves are in `baselines.py`.
"""

import copy
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

from transformers import PreTrainedModel

from agent.memory import anchors_for
from agent.study.records import Asked, Stream, Told, UpdateCost
from memory_log.blobs import BlobStore
from memory_log.errors import NothingPending
from memory_log.log import MemoryLog
from memory_log.records import ExperienceState, NewExperience
from updater.fold import VersionWeights, load_weights
from updater.language_model import LanguageModel
from updater.report import UpdateReport
from updater.settings import UpdateSettings
from updater.update import Updater

LINEAGE: Final = "default"
OWNER: Final = "agent.study"


class Learner(Protocol):
    """One method with one memory. It answers with `model`, given `notes` in the prompt."""

    model: PreTrainedModel

    def learn(self, told: Sequence[Told]) -> UpdateCost:
        """Take one cohort of experiences up; taking up what it has taken up already changes nothing."""
        ...

    def recall(self, told: Sequence[Told]) -> None:
        """Have again what an interrupted run had learned before; what lies on disk is there already."""
        ...

    def notes(self, asked: Asked) -> list[str]:
        """What goes into the prompt of a question, in order of time."""
        ...

    def was_taught(self, question: str) -> bool:
        """Whether an update was taught with these very words."""
        ...

    def close(self) -> None:
        """Give back what it holds open."""
        ...


class Remembering:
    """What methods without training share: the base model, and the experiences so far as text."""

    def __init__(self, base: LanguageModel, stream: Stream) -> None:
        self.model = base.model
        self.stream = stream
        self.known: list[int] = []

    def learn(self, told: Sequence[Told]) -> UpdateCost:
        """Keep the experiences."""
        started = time.monotonic()
        self.known += [one.number for one in told if one.number not in self.known]
        self.keep(told)
        num_bytes = sum(len(self.stream.told[number].text.encode()) for number in self.known)
        seconds = time.monotonic() - started
        return UpdateCost(seconds=seconds, num_learned=len(told), num_bytes_targets=num_bytes)

    def recall(self, told: Sequence[Told]) -> None:
        """The experiences of before."""
        self.learn(told)

    def keep(self, told: Sequence[Told]) -> None:
        """What a method does with new experiences beyond having them."""

    def notes(self, asked: Asked) -> list[str]:
        """Nothing."""
        return []

    def was_taught(self, question: str) -> bool:
        """Never: nothing is trained."""
        return False

    def close(self) -> None:
        """Nothing is held open."""


class NoMemory(Remembering):
    """The floor: the base model alone."""

    def learn(self, told: Sequence[Told]) -> UpdateCost:
        """Nothing is kept."""
        return UpdateCost(seconds=0.0)


class InContext(Remembering):
    """The ceiling: the base model reads the experience that answers, and later ones on the same subject."""

    def notes(self, asked: Asked) -> list[str]:
        """Exactly what a reader needs; for a near miss, what it resembles."""
        return [self.stream.told[number].text for number in self.stream.about_its_subject(asked, self.known)]


class Trained:
    """What methods with weights of their own share: a real log with its blobs, and the model of its head.

    Args:
        base: theta_0.
        folder: where the log and the blobs lie; what is there is taken up.
        settings: how an update is made.
    """

    def __init__(self, base: LanguageModel, folder: Path, settings: UpdateSettings) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.base, self.settings = base, settings
        self.log = MemoryLog(f"sqlite:///{folder / 'log.sqlite3'}")
        self.blobs = BlobStore(folder / "blobs")
        self.versions = VersionWeights(base, self.log, self.blobs)
        self.model: PreTrainedModel = copy.deepcopy(base.model)
        self._taught: set[str] = set()
        self._num_bytes: dict[int, int] = {}
        self.log.ensure_lineage(LINEAGE, base_fingerprint=base.fingerprint)
        left_by_a_dead_process = self.log.updater_lease(LINEAGE)
        if left_by_a_dead_process is not None:
            # The folder's lock is ours, so nobody holds this lease any more.
            self.log.release_updater_lease(left_by_a_dead_process)
        self._take_up_head()
        page = self.log.experiences(LINEAGE)
        while page:
            self._note_targets([one.id for one in page])
            page = self.log.experiences(LINEAGE, after_id=page[-1].id)

    def learn(self, told: Sequence[Told]) -> UpdateCost:
        """One update, or what a process that died had still done of it."""
        ids = [self.log.append(NewExperience(text=o.text, facts=o.facts, key=str(o.number))).id for o in told]
        first_version = len(self.log.versions(LINEAGE))
        started = time.monotonic()
        reasons = []
        num_pending = sum(self.log.get(number).state is ExperienceState.PENDING for number in ids)
        while any(self.log.get(number).state is ExperienceState.PENDING for number in ids):
            try:
                report = self.update(limit=len(ids))
            except NothingPending:
                break
            reasons += [report.reason] if report.reason else []
            if report.leaves_all_waiting:
                break  # the very same update would come next
        seconds = time.monotonic() - started
        self._take_up_head()
        self._note_targets(ids)
        return self._cost(ids, first_version, seconds, timed=num_pending == len(ids), reasons=reasons)

    def update(self, *, limit: int) -> UpdateReport:
        """Make one update of what is pending."""
        raise NotImplementedError

    def recall(self, told: Sequence[Told]) -> None:
        """Nothing: the log has it."""

    def notes(self, asked: Asked) -> list[str]:
        """Nothing: the weights must know."""
        return []

    def was_taught(self, question: str) -> bool:
        """Whether a stored target sentence has this prompt."""
        return question.strip().lower() in self._taught

    def close(self) -> None:
        """Close the log."""
        self.log.close()

    def _take_up_head(self) -> None:
        head = self.log.head(LINEAGE)
        load_weights(self.model, self.versions.weights(LINEAGE, head.number))

    def _note_targets(self, ids: Sequence[int]) -> None:
        for number in ids:
            targets = self.log.targets_of(number)
            self._num_bytes[number] = sum(len(target.payload) for target in targets)
            self._taught |= {target.prompt.strip().lower() for target in targets}

    def _cost(
        self, ids: Sequence[int], first_version: int, seconds: float, *, timed: bool, reasons: Sequence[str]
    ) -> UpdateCost:
        states = [self.log.get(number).state for number in ids]
        learned_in = {self.log.get(number).learned_in for number in ids}
        made = [v for v in self.log.versions(LINEAGE) if v.number >= first_version or v.number in learned_in]
        chain = self.log.chain(LINEAGE, self.log.head(LINEAGE).number)
        settings = self.settings
        return UpdateCost(
            seconds=seconds if timed else sum(version.metrics.get("seconds_to_gate", 0.0) for version in made),
            num_steps=sum(int(version.metrics.get("num_steps", 0)) for version in made),
            sentences_per_step=settings.batch_about + settings.batch_anchors + settings.batch_replay,
            num_learned=states.count(ExperienceState.LEARNED),
            num_refused=len(states) - states.count(ExperienceState.LEARNED),
            reason="; ".join(reasons) or None,
            num_bytes_targets=sum(self._num_bytes.values()),
            num_bytes_deltas=sum(version.delta.num_bytes for version in chain if version.delta),
            timed=timed,
        )


class Ours(Trained):
    """SELF-PARAM as it ships: the real updater with its gate, over a real log."""

    def __init__(self, base: LanguageModel, folder: Path, settings: UpdateSettings) -> None:
        super().__init__(base, folder, settings)
        self._updater = Updater(base, self.log, self.blobs, anchors=anchors_for(base), owner=OWNER, settings=settings)

    def update(self, *, limit: int) -> UpdateReport:
        """One update of the real updater."""
        return self._updater.update(LINEAGE, limit=limit)
