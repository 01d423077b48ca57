"""The memory over HTTP: experiences, versions, how things stand.

Knows the log. Refuses to know how anything is learned.
"""

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from agent.api.service import Service
from memory_log.errors import BadInput, UnknownExperience
from memory_log.fields import MAX_INTEGER
from memory_log.listing import Selection
from memory_log.records import Experience, ExperienceState, Happening, NewExperience, Pause, Version

MOST_AT_ONCE: Final = 1000
_Id = Annotated[int, Path(ge=1, le=MAX_INTEGER)]
_Number = Annotated[int, Path(ge=0, le=MAX_INTEGER)]
_Limit = Annotated[int, Query(ge=1, le=MOST_AT_ONCE)]


class Experiences(BaseModel):
    """A page of experiences."""

    object: str = "list"
    data: list[Experience]
    has_more: bool


class TellMany(BaseModel):
    """Several experiences, stored all or none."""

    model_config = ConfigDict(extra="forbid")

    experiences: Annotated[tuple[NewExperience, ...], Field(min_length=1, max_length=MOST_AT_ONCE)]


class Standing(BaseModel):
    """How a lineage stands: what waits, what serves, and what is wrong, if anything."""

    lineage: str
    counts: dict[ExperienceState, int]
    head: int | None
    serving: int
    loaded: tuple[int, ...]
    is_updating: bool
    pause: Pause | None
    head_error: str | None
    """Why the head does not serve yet."""
    learner_error: str | None
    """Why nobody learns."""


def memory_router(service: Service) -> APIRouter:
    """The routes of one service."""
    router = APIRouter(prefix="/v1", tags=["memory"])
    log, lineage, door = service.log, service.lineage, service.door

    def own(experience_id: int) -> Experience:
        """An experience of this lineage; another lineage's is as unknown as none."""
        found = log.get(experience_id)
        if found.lineage != lineage:
            raise UnknownExperience(f"there is no experience {experience_id} in lineage {lineage!r}")
        return found

    def ours(news: tuple[NewExperience, ...]) -> list[NewExperience]:
        for new in news:
            if "lineage" in new.model_fields_set and new.lineage != lineage:
                raise BadInput(f"got lineage {new.lineage!r}; this server takes experiences of {lineage!r} only")
        return [new.model_copy(update={"lineage": lineage}) for new in news]

    @router.post("/experiences", status_code=201, summary="Tell")
    async def tell(new: NewExperience, request: Request) -> Experience:
        """Store an experience: on disk when this answers, learned by the next update. A `key` makes it idempotent."""
        door.check(request, "tell")
        return await asyncio.to_thread(log.append, ours((new,))[0])

    @router.post("/experiences/batch", status_code=201, summary="Tell several at once")
    async def tell_many(body: TellMany, request: Request) -> Experiences:
        """Store several experiences, all or none."""
        door.check(request, "tell")
        return Experiences(data=await asyncio.to_thread(log.append_many, ours(body.experiences)), has_more=False)

    @router.get("/experiences", summary="List by id")
    async def experiences(
        request: Request,
        state: ExperienceState | None = None,
        session: Annotated[str | None, Query(max_length=256)] = None,
        after: Annotated[int, Query(ge=0, le=MAX_INTEGER)] = 0,
        limit: _Limit = 100,
    ) -> Experiences:
        """A page; give the last id as `after` for the next one."""
        door.check(request, "tell")
        selection = Selection(lineage=lineage, state=state, session=session)
        found = await asyncio.to_thread(log.page, selection, after_id=after, limit=limit + 1)
        return Experiences(data=found[:limit], has_more=len(found) > limit)

    @router.get("/experiences/search", summary="Find by words")
    async def search(
        request: Request,
        q: Annotated[str, Query(min_length=1, max_length=1000)],
        before: Annotated[int, Query(ge=1, le=MAX_INTEGER)] = MAX_INTEGER,
        limit: _Limit = 20,
    ) -> Experiences:
        """The newest experiences whose text has all words, "quoted phrases" and beginnings* of `q`."""
        door.check(request, "tell")
        found = await asyncio.to_thread(log.search, lineage, q, limit=limit + 1, before_id=before)
        return Experiences(data=found[:limit], has_more=len(found) > limit)

    @router.get("/experiences/{experience_id}", summary="Show one")
    async def experience(experience_id: _Id, request: Request) -> Experience:
        """An experience as it stands."""
        door.check(request, "tell")
        return await asyncio.to_thread(own, experience_id)

    @router.get("/experiences/{experience_id}/history", summary="What became of one")
    async def history(experience_id: _Id, request: Request) -> list[Happening]:
        """Its story, from its append to now."""
        door.check(request, "tell")
        await asyncio.to_thread(own, experience_id)
        return await asyncio.to_thread(log.history, experience_id)

    @router.delete("/experiences/{experience_id}", summary="Forget one")
    async def forget(experience_id: _Id, request: Request) -> Experience:
        """Leave a tombstone. A version that has learned it keeps what it learned, until it is rolled back."""
        door.check(request, "admin")
        await asyncio.to_thread(own, experience_id)
        return await asyncio.to_thread(log.forget, experience_id)

    @router.get("/versions", summary="List")
    async def versions(request: Request) -> list[Version]:
        """Every version by number, refused ones too."""
        door.check(request, "ask")
        return await asyncio.to_thread(log.versions, lineage)

    @router.post("/versions/{number}/activate", summary="Serve an admitted one")
    async def activate(number: _Number, request: Request) -> Version:
        """Move head and serving to a version, back or forth; what only later ones know waits to be learned again."""
        door.check(request, "admin")
        version = await asyncio.to_thread(log.rollback, lineage, number)
        await asyncio.to_thread(service.following.take_up_head)
        return version

    @router.get("/memory", summary="How things stand")
    async def memory(request: Request) -> Standing:
        """What waits, what serves, and what is wrong."""
        door.check(request, "ask")
        return await asyncio.to_thread(standing, service)

    @router.post("/memory/pause", summary="Let no update begin")
    async def pause(request: Request, reason: Annotated[str, Query(max_length=200)] = "") -> Pause:
        """One that runs ends as usual; the pause that stands."""
        door.check(request, "admin")
        return await asyncio.to_thread(lambda: log.pause(lineage, by="the HTTP interface", reason=reason))

    @router.post("/memory/resume", summary="Let updates begin again")
    async def resume(request: Request) -> dict[str, Any]:
        """Whether there was a pause."""
        door.check(request, "admin")
        return {"was_paused": await asyncio.to_thread(log.resume, lineage) is not None}

    return router


def standing(service: Service) -> Standing:
    """How a service stands now."""
    stats = service.log.stats(service.lineage)
    served = service.following.server.stats()
    return Standing(
        lineage=service.lineage, counts=stats.counts, head=stats.head, serving=served.serving_version,
        loaded=served.loaded_versions, is_updating=service.log.is_being_updated(service.lineage),
        pause=stats.pause and stats.pause.model_copy(update={"by": stats.pause.by.partition("@")[0]}),
        head_error=service.following.error, learner_error=service.learner_error(),
    )  # fmt: skip
