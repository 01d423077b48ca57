"""Clients for `benchmarks.serving`: many streams at once, with as little work of their own as can be.

Knows HTTP and server-sent events as far as this server sends them. Refuses to know what is measured against what.
"""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Final, NamedTuple
from urllib.parse import urlsplit

DONE: Final = b"data: [DONE]"


class Job(NamedTuple):
    """One request: token ids, and how many to answer."""

    prompt_ids: list[int]
    max_tokens: int


class Streamed(NamedTuple):
    """How one request went."""

    first_seconds: float
    total_seconds: float
    num_tokens: int


async def stream(url: str, model: str, job: Job) -> Streamed:
    """Ask for one completion and read it to its end.

    Raises:
        RuntimeError: the answer is an error.
    """
    place = urlsplit(url)
    asked = {
        "model": model, "prompt": job.prompt_ids, "max_tokens": job.max_tokens, "stream": True,
        "stream_options": {"include_usage": True},
    }  # fmt: skip
    body = json.dumps(asked).encode()
    head = (
        f"POST {place.path}/completions HTTP/1.1\r\nhost: {place.netloc}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    begin, first, num_tokens = time.monotonic(), 0.0, 0
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    try:
        writer.write(head.encode() + body)
        await writer.drain()
        status = await reader.readline()
        if b" 200 " not in status:
            raise RuntimeError(f"{status.decode()} {(await reader.read(2000)).decode(errors='replace')}")
        async for line in reader:
            if not line.startswith(b"data: "):
                continue
            first = first or time.monotonic()
            if line.startswith(DONE):
                break
            if b'"completion_tokens"' in line:
                num_tokens = json.loads(line[6:])["usage"]["completion_tokens"]
    finally:
        writer.close()
    return Streamed(first - begin, time.monotonic() - begin, num_tokens)


async def keep_busy(url: str, model: str, jobs: Sequence[Job], num_clients: int) -> list[Streamed]:
    """Let so many clients work through the jobs, each with the next one as soon as its last is done."""
    left, found = list(reversed(jobs)), list[Streamed]()

    async def client() -> None:
        while left:
            found.append(await stream(url, model, left.pop()))

    await asyncio.gather(*(client() for _ in range(num_clients)))
    return found
