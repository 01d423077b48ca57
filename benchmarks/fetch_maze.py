"""A maze of MiniGrid and how to walk in it: shortest ways by MiniGrid's own actions.

Knows: MiniGrid's grid, view and actions. Refuses to know: language, memories, what is measured.
"""

import heapq
import random
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

from minigrid.core.actions import Actions
from minigrid.core.mission import MissionSpace
from minigrid.core.roomgrid import RoomGrid
from minigrid.core.world_object import Ball, Box, Door, Key, WorldObj

NO_END: Final = 10**9
SIZE: Final = 3
"""Rooms in a row, and rows."""
ROOM_CELLS: Final = 7
"""Cells of a room's side, walls included."""
MOST_IN_ROOM: Final = 5
"""Things; there are seven cells for them."""
KINDS: Final[dict[str, Callable[[str], WorldObj]]] = {"key": Key, "ball": Ball, "box": Box}
COLORS: Final = ("red", "green", "blue", "purple", "yellow", "grey")
TURNS: Final = 3
"""To the left, after which everything round the agent has been in view."""
AHEAD: Final = ((1, 0), (0, 1), (-1, 0), (0, -1))
"""Steps by MiniGrid's directions: right, down, left, up."""


class Pose(NamedTuple):
    """Where the agent stands and looks."""

    x: int
    y: int
    facing: int

    @property
    def front(self) -> tuple[int, int]:
        """The cell before the agent."""
        dx, dy = AHEAD[self.facing]
        return self.x + dx, self.y + dy


class Maze(RoomGrid):
    """Nine rooms joined by doors that are not locked, with one key, ball and box of each colour."""

    def __init__(self) -> None:
        super().__init__(
            room_size=ROOM_CELLS,
            num_rows=SIZE,
            num_cols=SIZE,
            mission_space=MissionSpace(mission_func=lambda: "fetch things"),
            max_steps=NO_END,
        )

    def _gen_grid(self, width: int, height: int) -> None:
        super()._gen_grid(width, height)  # type: ignore[no-untyped-call]
        self.mission = "fetch things"
        self.place_agent(0, 0)
        self.connect_all()
        self.things: dict[str, WorldObj] = {}
        for kind in KINDS:
            for color in COLORS:
                made = KINDS[kind](color)
                self._put(made, self._rand_elem(self._rooms_with_space()))
                self.things[f"{color} {kind}"] = made

    def _put(self, thing: WorldObj, room: int) -> None:
        """Put a thing on a free cell of a room: not beside a wall, not in the middle nor to the right of it, so that no
        way is blocked.
        """
        place = self.get_room(room % SIZE, room // SIZE)
        left, top = place.top
        middle = middle_of(room)

        def rejected(_: Any, cell: tuple[int, int]) -> bool:  # noqa: ANN401 - MiniGrid's environment, which is self
            beside_wall = cell[0] in (left + 1, left + ROOM_CELLS - 2) or cell[1] in (top + 1, top + ROOM_CELLS - 2)
            return beside_wall or cell in (middle, (middle[0] + 1, middle[1]))

        self.place_obj(thing, place.top, place.size, reject_fn=rejected, max_tries=NO_END)

    def room_of(self, thing: str) -> int:
        """The room in which a thing lies, row by row from 0."""
        return room_at(*self.cell_of(thing))

    def cell_of(self, thing: str) -> tuple[int, int]:
        """Where a thing lies."""
        cell = self.things[thing].cur_pos
        assert cell is not None, "every thing has been put somewhere"
        return int(cell[0]), int(cell[1])

    def move_elsewhere(self, rng: random.Random) -> None:
        """Somebody moves a thing to another room that has space for it."""
        thing = rng.choice(list(self.things))
        free = [room for room in self._rooms_with_space() if room != self.room_of(thing)]
        self.grid.set(*self.cell_of(thing), None)
        self._put(self.things[thing], rng.choice(free))

    def _rooms_with_space(self) -> list[int]:
        taken = [self.room_of(thing) for thing in self.things]
        return [room for room in range(SIZE * SIZE) if taken.count(room) < MOST_IN_ROOM]

    @property
    def held(self) -> str | None:
        """The thing that the agent carries."""
        carried: WorldObj | None = self.carrying
        return next((name for name, thing in self.things.items() if thing is carried), None)

    @property
    def pose(self) -> Pose:
        """Where the agent is."""
        return Pose(int(self.agent_pos[0]), int(self.agent_pos[1]), int(self.agent_dir))

    def put_agent(self, rng: random.Random) -> None:
        """Put the agent into the middle of a room, looking anywhere."""
        self.agent_pos = middle_of(rng.randrange(SIZE * SIZE))
        self.agent_dir = rng.randrange(len(AHEAD))

    def things_in_view(self) -> list[str]:
        """The things that the agent sees now."""
        _, visible = self.gen_obs_grid()  # type: ignore[no-untyped-call]
        held, seen = self.held, []
        for name in self.things:
            where = self.relative_coords(*self.cell_of(name))  # type: ignore[no-untyped-call]
            if name != held and where is not None and visible[where]:
                seen.append(name)
        return seen


def middle_of(room: int) -> tuple[int, int]:
    """The middle cell of a room."""
    step = ROOM_CELLS - 1
    return room % SIZE * step + ROOM_CELLS // 2, room // SIZE * step + ROOM_CELLS // 2


def room_at(x: int, y: int) -> int:
    """The room of a cell that is no wall."""
    step = ROOM_CELLS - 1
    return y // step * SIZE + x // step


class Walker:
    """Walks the agent by shortest ways; doors that are shut are opened on the way, and things are walked round."""

    def __init__(self, maze: Maze) -> None:
        self._maze = maze

    def to_room(self, room: int) -> Iterator[None]:
        """Walk to the middle of a room; yields after each action."""
        return self._walk(lambda pose: pose[:2] == middle_of(room))

    def num_actions_to(self, there: Callable[[Pose], bool]) -> int:
        """How many actions lead to the nearest such pose."""
        return len(self._way(there))

    def turn_round(self) -> Iterator[None]:
        """Turn until everything round the agent has been in view; yields after each turn."""
        for _ in range(TURNS):
            self._maze.step(Actions.left)
            yield

    def take(self, thing: str) -> Iterator[None]:
        """Walk up to a thing and take it; yields after each action."""
        target = self._maze.cell_of(thing)
        yield from self._walk(lambda pose: pose.front == target)
        self._maze.step(Actions.pickup)
        yield

    def _walk(self, there: Callable[[Pose], bool]) -> Iterator[None]:
        for action in self._way(there):
            self._maze.step(action)
            yield

    def _way(self, there: Callable[[Pose], bool]) -> list[Actions]:
        """The fewest actions that lead to a pose, by Dijkstra's algorithm: passing a shut door takes two."""
        start = self._maze.pose
        best: dict[Pose, tuple[Pose, list[Actions]] | None] = {start: None}
        length = {start: 0}
        ahead = [(0, start)]
        while ahead:
            so_far, pose = heapq.heappop(ahead)
            if there(pose):
                return _followed_back(best, pose)
            if so_far > length[pose]:
                continue
            for actions, after in self._moves(pose):
                if so_far + len(actions) < length.get(after, NO_END):
                    length[after] = so_far + len(actions)
                    best[after] = (pose, actions)
                    heapq.heappush(ahead, (length[after], after))
        raise AssertionError("a room of the maze cannot be reached: things must not block ways")

    def _moves(self, pose: Pose) -> Iterator[tuple[list[Actions], Pose]]:
        yield [Actions.left], pose._replace(facing=(pose.facing - 1) % len(AHEAD))
        yield [Actions.right], pose._replace(facing=(pose.facing + 1) % len(AHEAD))
        x, y = pose.front
        cell = self._maze.grid.get(x, y)
        if isinstance(cell, Door):
            opening = [] if cell.is_open else [Actions.toggle]
            yield [*opening, Actions.forward], Pose(x, y, pose.facing)
        elif cell is None:
            yield [Actions.forward], Pose(x, y, pose.facing)


def _followed_back(best: dict[Pose, tuple[Pose, list[Actions]] | None], pose: Pose) -> list[Actions]:
    actions: list[Actions] = []
    while (step := best[pose]) is not None:
        pose, taken = step
        actions = [*taken, *actions]
    return actions
