"""API keys of a home: who may ask, tell, or administer. Only their hashes are kept.

Knows the file of keys. Refuses to know HTTP.
"""

import hashlib
import hmac
import os
import secrets
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError

from memory_log.clock import Clock, utc_now
from memory_log.errors import BadInput
from memory_log.fields import Name, Record, UtcTime
from memory_log.files import new_file

KEYS_FILE: Final = "keys.json"
PREFIX: Final = "sp-"
NUM_RANDOM_BYTES: Final = 32

Scope = Literal["ask", "tell", "admin"]
SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)


class ApiKey(Record):
    """One key, without the key: 256 random bits need no slow hash.

    Example: ApiKey(name="robot", scopes=("ask", "tell"), sha256="...", created=now)
    """

    name: Name
    scopes: tuple[Scope, ...] = Field(min_length=1)
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    created: UtcTime

    def allows(self, scope: Scope) -> bool:
        """Whether the key may do this; an administrator may do all."""
        return scope in self.scopes or "admin" in self.scopes


_FILE: Final = TypeAdapter(tuple[ApiKey, ...])


class ApiKeys:
    """The keys in a home's `keys.json`.

    Args:
        home: the home's folder.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / KEYS_FILE
        self._read: tuple[tuple[int, int, int], tuple[ApiKey, ...]] | None = None

    @property
    def are_used(self) -> bool:
        """Whether the home has, or ever had, a key."""
        return self._path.exists()

    def all(self) -> tuple[ApiKey, ...]:
        """Every key, in the order in which they were made.

        Raises:
            BadInput: the file cannot be read as keys.
        """
        try:
            now = os.stat(self._path)
            state = (now.st_ino, now.st_mtime_ns, now.st_size)
            if self._read is None or self._read[0] != state:
                self._read = state, _FILE.validate_json(self._path.read_bytes())
            return self._read[1]
        except FileNotFoundError:
            return ()
        except ValidationError as exc:
            raise BadInput(
                f"{self._path} does not hold API keys ({exc.errors()[0]['msg']}); remove it and make new ones with: "
                "selfparam keys add NAME"
            ) from exc

    def add(self, name: str, scopes: Sequence[Scope], *, clock: Clock = utc_now) -> str:
        """Make a key and return it; it cannot be shown again.

        Raises:
            BadInput: there is a key of this name.
        """
        known = self.all()
        if any(key.name == name for key in known):
            raise BadInput(f"there is a key named {name!r} already; remove it first, or choose another name")
        secret = PREFIX + secrets.token_urlsafe(NUM_RANDOM_BYTES)
        made = ApiKey(name=name, scopes=tuple(scopes), sha256=_hash(secret), created=clock())
        self._write([*known, made])
        return secret

    def remove(self, name: str) -> None:
        """Let a key open nothing any more; servers that run notice at their next request.

        Raises:
            BadInput: there is none of this name.
        """
        known = self.all()
        left = [key for key in known if key.name != name]
        if len(left) == len(known):
            names = ", ".join(key.name for key in known) or "none"
            raise BadInput(f"there is no key named {name!r}; there are: {names}")
        self._write(left)

    def _write(self, keys: Collection[ApiKey]) -> None:
        with new_file(self._path, replaces=True) as file:
            os.fchmod(file.fileno(), 0o600)
            file.write(_FILE.dump_json(tuple(keys), indent=1) + b"\n")

    def find(self, secret: str) -> ApiKey | None:
        """The key that was given, None where there is none such. Takes the same time whichever it is."""
        given, found = _hash(secret), None
        for key in self.all():
            if hmac.compare_digest(key.sha256, given):
                found = key
        return found


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
