"""What of a life is written down, when it is learned, and what is fetched then.

Knows: choosing sightings, stops, tasks and their questions. Refuses to know: any particular world, models.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Final

from agent.household.language import question
from agent.study.records import Told
from benchmarks.fetch_records import Life, Noted, Stop, Task, TaskKind

RELATION: Final = "place"
MOST_DRAWS: Final = 200


class Diary:
    """Writes down the most telling sightings of each episode.

    Args:
        most: sightings written down after an episode.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self._last: dict[str, str] = {}
        self.episodes: list[list[Noted]] = []

    def end_episode(self, seen: Mapping[str, Noted]) -> None:
        """Keep what changed first, then what is new, each in the order in which it was seen; the rest is let go.

        Args:
            seen: the latest sighting of each thing in this episode, in order.
        """
        changed = [one for thing, one in seen.items() if self._last.get(thing, one.fact.value) != one.fact.value]
        new = [one for thing, one in seen.items() if thing not in self._last]
        noted = [*changed, *new][: self._most]
        self._last |= {one.fact.subject: one.fact.value for one in noted}
        self.episodes.append(noted)


def told_and_stops(
    episodes: Sequence[Sequence[Noted]], *, per_update: int, points: Sequence[int]
) -> tuple[tuple[Told, ...], tuple[Stop, ...]]:
    """All that was written down, and the updates that learn it.

    Args:
        episodes: the notes of each.
        per_update: an update follows the episode that completes this many.
        points: episodes, from 1, after which everything so far is learned and things are fetched.
    """
    told: list[Told] = []
    pending: list[int] = []
    stops = []
    for episode, notes in enumerate(episodes, start=1):
        for noted in notes:
            pending.append(len(told))
            told.append(Told(number=len(told), text=noted.text, facts=(noted.fact,)))
        if len(pending) >= per_update or episode in points:
            stops.append(Stop(episode=episode, numbers=tuple(pending), is_point=episode in points))
            pending = []
    return tuple(told), tuple(stops)


def points_of(episodes: int, every: int) -> tuple[int, ...]:
    """The episodes after which things are fetched: every so many, and the last one."""
    return tuple(sorted({*range(every, episodes, every), episodes}))


def tasks_at(life: Life, episode: int, *, rounds: int, num_questions: int, seed: int) -> list[Task]:
    """One task a round for everything that was written down by then, in another order of words each time.

    Args:
        life: what was lived.
        episode: a point of it.
        rounds: tasks for each thing.
        num_questions: phrasings of the set `read` in which the agent asks for it.
        seed: of the phrasings.
    """
    values: dict[str, list[str]] = {}
    for told in life.known_at(episode):
        [fact] = told.facts
        values.setdefault(fact.subject, []).append(fact.value)
    tasks = []
    for thing, places in values.items():
        kind: TaskKind = "moved" if len(places) > 1 else "unmoved"
        if life.scenes[episode].spot_of(thing).phrase != places[-1]:
            kind = "stale"
        for number in range(rounds):
            rng = random.Random(f"fetch/{seed}/{episode}/{thing}/{number}")
            tasks.append(Task(thing, kind, number, _questions(thing, rng, num_questions)))
    return tasks


def _questions(thing: str, rng: random.Random, count: int) -> tuple[str, ...]:
    texts: dict[str, None] = {}
    for _ in range(MOST_DRAWS):
        if len(texts) == count:
            break
        texts[question(thing, RELATION, rng, phrasing="read")] = None
    return tuple(texts)
