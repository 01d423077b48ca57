"""A writer that asks an endpoint: what is sent to it about an experience, and what is made of its answer.

What leaves this computer: the text of each experience as the filter has left it, and the instructions below. Nothing
else: no facts, names of agents, sessions or times, no answers, no weights. Refuses to know HTTP and where the key is.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from agent.chat_endpoint import ChatEndpoint, EndpointSettings, lines_of
from memory_log.errors import BadInput
from memory_log.records import Experience, TargetKind
from updater.candidates import Candidate, Wanted

if TYPE_CHECKING:
    from updater.language_model import LanguageModel

_ONE_A_LINE: Final = (
    "Name its subject in full in each, so that it can be understood without the note. Write one a line, without "
    "numbers, and nothing else."
)
QUESTIONS: Final = f"Write {{count}} short questions that this note answers, in very different words. {_ONE_A_LINE}"
IMPLICATIONS: Final = (
    "Write {count} short questions whose answers follow from this note, although it does not say them. "
    f"{_ONE_A_LINE}"
)
RESTATEMENTS: Final = (
    "Say in {count} different ways, one sentence each, what this note says, and nothing more. "
    f"{_ONE_A_LINE}"
)


@dataclass(frozen=True)
class EndpointWriter:
    """Writes questions and restatements by asking an endpoint, one request for each kind and experience.

    Args:
        settings: of the endpoint.
        key: what its `key_variable` holds; None where that is not set.

    Example: EndpointWriter(EndpointSettings(url="http://127.0.0.1:8000/v1", model="qwen3"))
    """

    settings: EndpointSettings
    key: str | None = field(default=None, repr=False)

    def __call__(
        self, base: "LanguageModel", experiences: Sequence[Experience], wanted: Wanted, seed: int
    ) -> list[Candidate]:
        """What the endpoint writes; other things each time, whatever the seed.

        Raises:
            EndpointUnavailable, EndpointRefused: see `ChatEndpoint.complete`.
            BadInput: the variable that should hold the key is not set.
        """
        if self.settings.key_variable is not None and not self.key:
            raise BadInput(
                f"the environment variable {self.settings.key_variable} holds no key for {self.settings.url}; set it, "
                "or take key_variable out of the endpoint's settings if it needs none"
            )
        endpoint = ChatEndpoint(self.settings, self.key)
        instructions: list[tuple[TargetKind, str, int]] = [
            ("question", QUESTIONS, wanted.questions),
            ("question", IMPLICATIONS, wanted.implications),
            ("restatement", RESTATEMENTS, wanted.restatements),
        ]
        orders = [
            (experience, kind, instruction.format(count=count))
            for kind, instruction, count in instructions
            if count
            for experience in experiences
        ]
        pool = ThreadPoolExecutor(self.settings.max_parallel)
        try:
            replies = [pool.submit(endpoint.complete, order, experience.text) for experience, _, order in orders]
            lines = [lines_of(reply.result()) for reply in replies]
        finally:
            # After an error or Ctrl-C the others would only fail one by one, while the lineage's lease is held.
            endpoint.stop()
            pool.shutdown(wait=False, cancel_futures=True)
        return [
            Candidate(experience, kind, line)
            for (experience, kind, _), found in zip(orders, lines, strict=True)
            for line in found
        ]
