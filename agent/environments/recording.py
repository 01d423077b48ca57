"""Steps on their way into the log: described, given their keys, and stored in groups.

Knows: sessions, keys, and what becomes of a step that cannot be stored. Refuses to know: where steps come from.
"""

import json
import math
import uuid
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from agent.environments.steps import Describe, Described, Step, describe_step, failed_on
from memory_log.errors import BadInput, DescriberFailed, IdempotencyConflict
from memory_log.experience_log import ExperienceLog
from memory_log.fields import MAX_TEXT_BYTES
from memory_log.listing import Selection
from memory_log.records import Bound, NewExperience

MAX_SESSION_BYTES: Final = 160
"""Leaves room in an experience's session and key for environment, episode, step and number."""
MAX_ACTION_BYTES: Final = 1024
"""Longer actions that are no text, such as large arrays, are not kept with their experiences."""


class RecordCounts(NamedTuple):
    """What a recorder has put into the log so far."""

    num_steps: int
    """Steps described, beginnings of episodes among them."""
    num_experiences: int
    """Experiences that are in the log."""
    num_known: int
    """Those of them that were there before: steps recorded again."""


class Recording:
    """Describes steps and appends what is said to the log.

    Args:
        log: where it goes; its owner closes it.
        describe: puts steps into words.
        lineage, agent: whose memory, and who lived it.
        session: name of the run. The same name again means the same run: its steps are stored once, however often they
            are recorded. None makes up a name that nobody has.
        num_envs: environments that are recorded together; None for a single one.
        group_steps: steps that are stored at once; 1 stores each before the next is taken.
        bound: how many experiences may be pending, and what to do about more.

    Raises:
        BadInput: an argument does not fit.
    """

    def __init__(
        self, log: ExperienceLog, describe: Describe, *, lineage: str, agent: str, session: str | None,
        num_envs: int | None, group_steps: int, bound: Bound | None,
    ) -> None:  # fmt: skip
        if not callable(describe):
            raise BadInput(f"got a {type(describe).__name__} as describe, needed a function of a Step")
        if group_steps < 1:
            raise BadInput(f"got group_steps={group_steps}, needed at least 1")
        self.session = f"run-{uuid.uuid4().hex[:12]}" if session is None else session
        if not self.session.strip() or len(self.session.encode()) > MAX_SESSION_BYTES:
            raise BadInput(f"got the session {session!r}, needed a name of 1 to {MAX_SESSION_BYTES} bytes")
        NewExperience(text="-", lineage=lineage, agent=agent)  # says what is wrong with a name
        self._log, self._describe, self._bound, self._group_steps = log, describe, bound, group_steps
        self._lineage, self._agent, self._num_envs = lineage, agent, num_envs
        newest = log.newest(Selection(lineage=lineage), limit=1)
        self._newest_before = newest[0].id if newest else 0
        self._held: list[list[NewExperience]] = []
        self._num_calls_held = 0
        self._num_steps = self._num_experiences = self._num_known = 0
        self.latest: tuple[Described, ...] = ()
        """What was said of the latest steps."""

    @property
    def counts(self) -> RecordCounts:
        """What is in the log by now."""
        return RecordCounts(self._num_steps, self._num_experiences, self._num_known)

    def session_of(self, env_index: int, episode: int) -> str:
        """The session of an episode's experiences, such as `monday/episode-3` or `monday/env-1/episode-3`."""
        place = "" if self._num_envs is None else f"/env-{env_index}"
        return f"{self.session}{place}/episode-{episode}"

    def take(self, steps: Sequence[Step]) -> None:
        """Describe steps that happened together, and store what is due.

        Raises:
            DescriberFailed: a step could not be described; everything else is stored.
            IdempotencyConflict: this session has recorded something else at one of the steps; all others are stored.
            LogUnavailable, LogBusy, DiskFull, QueueFull: what is said is kept, and stored with the next steps.
        """
        failure: DescriberFailed | None = None
        said: list[Described] = []
        for step in steps:
            self._num_steps += 1
            try:
                described = describe_step(self._describe, step)
                news = self._experiences(step, described)
            except DescriberFailed as exc:
                failure = failure or exc
                continue
            said += described
            if news:
                self._held.append(news)
        self.latest = tuple(said)
        self._num_calls_held += 1
        has_ended = any(step.terminated or step.truncated for step in steps)
        if failure or has_ended or self._num_calls_held >= self._group_steps:
            self.flush()
        if failure:
            raise failure

    def flush(self) -> None:
        """Store what is held: it is durable when this returns. Raises as `take` does."""
        if self._bound is not None:  # there may be room for some of the steps
            self._store_step_by_step()
        else:
            try:
                self._store([new for step in self._held for new in step])
            except IdempotencyConflict:
                self._store_step_by_step()
        self._held, self._num_calls_held = [], 0

    def _store_step_by_step(self) -> None:
        conflict: IdempotencyConflict | None = None
        while self._held:
            try:
                self._store(self._held[0])
            except IdempotencyConflict as exc:
                conflict = conflict or exc
            del self._held[0]
        if conflict:
            raise IdempotencyConflict(
                f"session {self.session!r} has recorded another run already ({conflict}); give this run a name of its "
                "own, or go on after the last episode of the other one with first_episode"
            ) from conflict

    def _store(self, news: Sequence[NewExperience]) -> None:
        stored = self._log.append_many(news, bound=self._bound)
        self._num_experiences += len(stored)
        self._num_known += sum(one.id <= self._newest_before for one in stored)

    def _experiences(self, step: Step, described: Sequence[Described]) -> list[NewExperience]:
        try:
            return [self._experience(step, place, one) for place, one in enumerate(described)]
        except BadInput as exc:  # metadata that are too large together with ours
            raise failed_on(step, exc) from exc

    def _experience(self, step: Step, place: int, said: Described) -> NewExperience:
        session = self.session_of(step.env_index, step.episode)
        return NewExperience(
            text=said.text, lineage=self._lineage, agent=self._agent, session=session, step=step.number,
            observation=_kept_text(step.observation), action=_action_text(step.action),
            reward=None if step.is_first or not math.isfinite(step.reward) else step.reward, facts=said.facts,
            key=f"{session}/step-{step.number}/{place}", priority=said.priority,
            metadata={"episode": step.episode} | said.metadata,
        )  # fmt: skip


def _kept_text(observation: object) -> str | None:
    """What is text that the log takes; anything else is not kept beside what is said of it."""
    if not isinstance(observation, str) or "\0" in observation:
        return None
    return observation if len(observation.encode("utf-8", "replace")) <= MAX_TEXT_BYTES else None


def _action_text(action: object) -> str | None:
    if action is None or isinstance(action, str):
        return _kept_text(action)
    plain = action.tolist() if isinstance(action, np.ndarray | np.generic) else action
    try:
        text = json.dumps(plain)
    except TypeError:  # a Dict of arrays, or something stranger
        text = repr(action)
    return text if len(text.encode()) <= MAX_ACTION_BYTES else None
