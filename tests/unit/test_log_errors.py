"""The errors: one root, readable, and able to travel between processes."""

import inspect
import pickle

import pytest

from memory_log import errors
from memory_log.errors import SelfParamError

CLASSES = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, SelfParamError)]


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_survives_pickling(kind: type[SelfParamError]) -> None:
    for error in (kind(), kind("got 3, needed 4")):
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is kind and str(again) == str(error)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_says_something_without_being_told(kind: type[SelfParamError]) -> None:
    assert str(kind()) == (kind.__doc__ or "").split("\n")[0] and str(kind()).endswith(".")


@pytest.mark.parametrize("kind", [kind for kind in CLASSES if kind is not SelfParamError])
def test_every_error_is_also_one_of_the_standard_library(kind: type[SelfParamError]) -> None:
    assert issubclass(kind, ValueError | LookupError | RuntimeError | MemoryError | OSError)
