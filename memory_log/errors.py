"""Every error that the project raises on purpose: one root, one class for each thing a caller may want to tell apart.

Each class also inherits the standard exception that a newcomer would have caught, and survives pickling, because errors
travel between processes. The docstring's first line is the message when none is given.
"""


class SelfParamError(Exception):
    """Something in the agent's memory went wrong."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message if message is not None else (type(self).__doc__ or type(self).__name__).split("\n")[0])


class BadInput(SelfParamError, ValueError):
    """A value cannot be taken: empty, too large, not UTF-8, not finite, or at odds with what is stored."""


class IdempotencyConflict(SelfParamError, ValueError):
    """An idempotency key was given again with another content."""


class UnknownExperience(SelfParamError, LookupError):
    """There is no experience with this id."""


class UnknownVersion(SelfParamError, LookupError):
    """There is no such version in this lineage."""


class QueueFull(SelfParamError, RuntimeError):
    """As many experiences are pending as the caller allows; nothing was stored."""


class NothingPending(SelfParamError, RuntimeError):
    """No experience waits to be learned."""


class LineageBusy(SelfParamError, RuntimeError):
    """Another updater holds this lineage's lease; try again when it is released or has expired."""


class UpdatesPaused(SelfParamError, RuntimeError):
    """Updates of this lineage are paused; `selfparam resume` lets them go on."""


class LeaseLost(SelfParamError, RuntimeError):
    """The lease, or the batch opened under it, is no longer ours; nothing was written."""


class HeadMoved(SelfParamError, RuntimeError):
    """The head is no longer the parent of this version; nothing was written."""


class DeltaCorrupt(SelfParamError, ValueError):
    """A delta file is missing or differs from its recorded checksum."""


class DeltaMismatch(SelfParamError, ValueError):
    """A delta was made for another base model, another parent version or other shapes."""


class BackupCorrupt(SelfParamError, ValueError):
    """A back-up file is damaged, cut off, or was not written by `selfparam backup`."""


class NotAModel(SelfParamError, ValueError):
    """A path or name does not hold a causal language model."""


class BaseModelChanged(SelfParamError, ValueError):
    """This lineage was made with another base model."""


class EmptyMask(SelfParamError, ValueError):
    """A sentence has no completion tokens to learn from."""


class FilterFailed(SelfParamError, RuntimeError):
    """The filter could not judge an experience; nothing was learned, and everything waits."""


class DescriberFailed(SelfParamError, RuntimeError):
    """The describer could not put a step into words; nothing of that step was recorded."""


class EndpointUnavailable(SelfParamError, ConnectionError):
    """The endpoint that writes did not answer in time; nothing was learned, and everything waits."""


class EndpointRefused(SelfParamError, ValueError):
    """The endpoint that writes refuses what it is asked; nothing was learned, and everything waits."""


class UpdateRejected(SelfParamError, RuntimeError):
    """The gate refused an update; what serves has not changed."""


class SchemaTooNew(SelfParamError, RuntimeError):
    """The log was written by a newer release; install that release to open it."""


class OutOfMemory(SelfParamError, MemoryError):
    """Memory is out; nothing was written."""


class DiskFull(SelfParamError, OSError):
    """The disk is full; nothing was written."""


class LogChanged(SelfParamError, RuntimeError):
    """The log was written by somebody else while it was read as immutable; do it again."""


class LogDamaged(SelfParamError, ValueError):
    """The log's file is damaged; `selfparam doctor` examines it, and a back-up can be restored."""


class LogBusy(SelfParamError, RuntimeError):
    """Another transaction stood in the way for too long; nothing was written, and it may be done again."""


class LogUnavailable(SelfParamError, ConnectionError):
    """The log's server went away or refuses connections; nothing was written, and it may be done again."""


class OutcomeUnknown(LogUnavailable):
    """The log's server went away while it committed; repeat with the same key, which stores it at most once."""
