"""What OpenAI's interface for chats and completions takes and gives, as far as it is served here.

Knows fields, their bounds and their defaults. Refuses to know models and routes.

A field that would change the answer and is not served is refused, never ignored.
"""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from agent.sampling import MOST_ALTERNATIVES

MOST_CHOICES: Final = 8
MOST_STOPS: Final = 4
MOST_MESSAGES: Final = 1024
MOST_PROMPTS: Final = 32


class _Taken(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TextPart(_Taken):
    """A part of a message; only text is read."""

    type: Literal["text"]
    text: str


class Message(_Taken):
    """One turn of a conversation.

    Example: Message(role="user", content="Where is the red mug?")
    """

    role: Literal["system", "developer", "user", "assistant"]
    content: str | Annotated[tuple[TextPart, ...], Field(min_length=1)]
    name: str | None = None

    @property
    def text(self) -> str:
        """What was said."""
        return self.content if isinstance(self.content, str) else "\n".join(part.text for part in self.content)

    @property
    def turn(self) -> tuple[str, str]:
        """Role and text as a chat template knows them."""
        return "system" if self.role == "developer" else self.role, self.text


class StreamOptions(_Taken):
    """What a stream tells beside its text."""

    include_usage: bool = False
    include_obfuscation: bool = False


_Stop = str | Annotated[tuple[str, ...], Field(max_length=MOST_STOPS)] | None


class _Asked(_Taken):
    """What chats and completions have in common."""

    model: str = Field(description="The lineage's name for its newest version, or NAME@N for version N.")
    n: int | None = Field(default=None, ge=1, le=MOST_CHOICES)
    temperature: float | None = Field(default=None, ge=0, le=2, description="0 takes the best token (default: 0).")
    top_p: float | None = Field(default=None, gt=0, le=1)
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stop: _Stop = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    user: str | None = Field(
        default=None, description="Not used, as service_tier, safety_identifier and prompt_cache_key are not."
    )
    service_tier: str | None = None
    safety_identifier: str | None = None
    prompt_cache_key: str | None = None
    frequency_penalty: float | None = Field(default=None, description="Only 0 is served.")
    presence_penalty: float | None = Field(default=None, description="Only 0 is served.")
    logit_bias: dict[str, float] | None = Field(default=None, description="Only an empty one is served.")

    @model_validator(mode="after")
    def _asks_for_what_is_served(self) -> "_Asked":
        for name in ("frequency_penalty", "presence_penalty", "logit_bias"):
            if getattr(self, name):
                raise ValueError(f"{name} is not served here; leave it out")
        if any(not stop for stop in self.stops):
            raise ValueError("a stop string is empty; leave it out")
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options goes with stream=true only")
        return self

    @property
    def stops(self) -> tuple[str, ...]:
        """The stop strings."""
        return () if self.stop is None else (self.stop,) if isinstance(self.stop, str) else self.stop


class ChatRequest(_Asked):
    """The body of `POST /v1/chat/completions`."""

    messages: Annotated[tuple[Message, ...], Field(min_length=1, max_length=MOST_MESSAGES)]
    max_completion_tokens: int | None = Field(default=None, ge=1)
    logprobs: bool | None = None
    top_logprobs: int | None = Field(default=None, ge=0, le=MOST_ALTERNATIVES)
    store: bool | None = Field(
        default=None, description="Record the last user message as an experience, to be learned by the next update."
    )
    metadata: dict[str, str] | None = Field(
        default=None, description="With `store`: kept with the experience; `session` and `agent` name its own."
    )
    response_format: dict[str, Any] | None = Field(default=None, description='Only {"type": "text"} is served.')
    parallel_tool_calls: bool | None = Field(default=None, description="Taken and not used: no tools are served.")

    @model_validator(mode="after")
    def _is_a_conversation(self) -> "ChatRequest":
        if self.messages[-1].role != "user":
            raise ValueError(f"the last message is from {self.messages[-1].role!r}; it has to be the user's")
        if not self.messages[-1].text.strip():
            raise ValueError("the last message is empty; ask something, such as: Where is the red mug?")
        if self.response_format is not None and self.response_format.get("type") != "text":
            raise ValueError("response_format is not served here but as text; leave it out")
        if self.top_logprobs is not None and not self.logprobs:
            raise ValueError("top_logprobs goes with logprobs=true only")
        if self.max_tokens is not None and self.max_completion_tokens is not None:
            raise ValueError("max_tokens and max_completion_tokens mean the same; give one of them")
        return self


class CompletionRequest(_Asked):
    """The body of `POST /v1/completions`: text, or token ids, that the model goes on with."""

    prompt: (
        str
        | Annotated[tuple[str, ...], Field(min_length=1, max_length=MOST_PROMPTS)]
        | Annotated[tuple[int, ...], Field(min_length=1)]
        | Annotated[tuple[tuple[int, ...], ...], Field(min_length=1, max_length=MOST_PROMPTS)]
    )
    logprobs: int | None = Field(default=None, ge=0, le=5)
    echo: bool | None = Field(default=None, description="Only false is served.")
    best_of: int | None = Field(default=None, description="Only 1 is served.")
    suffix: str | None = Field(default=None, description="Only none is served.")

    @model_validator(mode="after")
    def _is_plain(self) -> "CompletionRequest":
        if self.echo or self.suffix or (self.best_of or 1) != 1:
            raise ValueError("echo, suffix and best_of are not served here; leave them out")
        return self

    @property
    def prompts(self) -> list[str | tuple[int, ...]]:
        """Each of the prompts, as text or token ids."""
        if isinstance(self.prompt, str):
            return [self.prompt]
        if isinstance(self.prompt[0], int):
            return [tuple(int(token_id) for token_id in self.prompt)]
        return list(self.prompt)


class Usage(BaseModel):
    """How many tokens were read and written."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int

    @classmethod
    def of(cls, num_read: int, num_written: int) -> "Usage":
        """Both, and their sum."""
        return cls(prompt_tokens=num_read, completion_tokens=num_written, total_tokens=num_read + num_written)
