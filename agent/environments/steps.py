"""What a describer is given and what it gives back: one step of an environment, and what is worth remembering of it.

Knows no environment, no log. A describer is any function from a `Step` to nothing, a text, a `Described`, or several:

    def describe(step):
        if step.reward > 0:
            return f"I got {step.reward:.0f} points for {step.action}."
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from memory_log.errors import BadInput, DescriberFailed
from memory_log.fields import MAX_FACTS, MAX_PRIORITY, InputRecord, Metadata, Text
from memory_log.records import Fact


class Step(NamedTuple):
    """One step of one environment, or the beginning of an episode, whose `number` is 0.

    Example: Step("You see a mug.", "You are in the hall.", "look", 1.0, False, False, {}, 0, 1, 3).is_first == False
    """

    observation: Any
    """After the step; what the environment gave, before anybody outside has seen it."""
    previous_observation: Any
    """Before the step; None at the beginning of an episode."""
    action: Any
    """None at the beginning of an episode."""
    reward: float
    terminated: bool
    truncated: bool
    info: Mapping[str, Any]
    env_index: int
    """Place in a vector environment; 0 in a single one."""
    episode: int
    number: int

    @property
    def is_first(self) -> bool:
        """Whether this is the beginning of an episode: a reset, not a step."""
        return self.number == 0


class Described(InputRecord):
    """One experience in words, with the facts that the words state; the recorder adds when and where it was.

    Facts are what an update's templates write about, what makes old knowledge give way to new, and what probes are made
    of: give those that the text says, and no others.

    Example: Described(text="Mo is in bed.", facts=(Fact(subject="mo", relation="whereabouts", value="in bed"),))
    """

    text: Text
    facts: Annotated[tuple[Fact, ...], Field(max_length=MAX_FACTS)] = ()
    priority: Annotated[int, Field(ge=0, le=MAX_PRIORITY)] = 0
    metadata: Metadata = Field(default_factory=dict)


Description = str | Described | Iterable[str | Described] | None
"""What a describer may return; None, and an empty text or iterable, say nothing."""

Describe = Callable[[Step], Description]


def describe_step(describe: Describe, step: Step) -> tuple[Described, ...]:
    """What a describer makes of a step.

    Raises:
        DescriberFailed: it raised, or gave back something else than texts.
    """
    try:
        found = describe(step)
        if found is None or isinstance(found, str | Described):
            found = () if found is None or found == "" else (found,)
        return tuple(_described(one) for one in found)
    except Exception as exc:  # somebody else's function
        raise failed_on(step, exc) from exc


def failed_on(step: Step, reason: Exception) -> DescriberFailed:
    """The error that says on which step a describer failed, and why."""
    return DescriberFailed(
        f"the describer failed on step {step.number} of episode {step.episode} of environment {step.env_index}: "
        f"{type(reason).__name__}: {reason}; nothing of this step was recorded, and nothing recorded before is lost: "
        "correct the describer (it returns None, a text, a Described, or several of these)"
    )


def _described(found: object) -> Described:
    if isinstance(found, Described):
        return found
    if isinstance(found, str):
        return Described(text=found)
    raise BadInput(f"got {type(found).__name__}, needed a text or a Described")


class OnlyNews:
    """A describer that says only what is new in its episode: facts not stated yet, or with another value; new texts.

    What the inner describer says again about the same thing is left out, so that a look around that shows what was
    there before is recorded once. Each environment of a vector starts knowing nothing, and so does each episode.

    Args:
        describe: says everything.
        over_episodes: whether an episode starts knowing what earlier ones have said, because its world is the same.

    Example: ExperienceRecorder(env, log, OnlyNews(describe_household))
    """

    def __init__(self, describe: Describe, *, over_episodes: bool = False) -> None:
        self._describe, self._over_episodes = describe, over_episodes
        self._episodes: dict[int, int] = {}
        self._known: dict[int, dict[object, str]] = {}

    def __call__(self, step: Step) -> list[Described]:
        """The news of a step."""
        if self._episodes.get(step.env_index) != step.episode and not self._over_episodes:
            self._known[step.env_index] = {}
        self._episodes[step.env_index] = step.episode
        known = self._known.setdefault(step.env_index, {})
        return [one for one in describe_step(self._describe, step) if _take_note(known, one)]


def _take_note(known: dict[object, str], one: Described) -> bool:
    """Whether something is news, which it is no more afterwards."""
    stated: dict[object, str] = {(fact.subject, fact.relation): fact.value for fact in one.facts} or {one.text: ""}
    is_news = any(known.get(about) != value for about, value in stated.items())
    known.update(stated)
    return is_news
