"""What the tests of homes share: homes that have learned something, without a model."""

from pathlib import Path

from agent.home import Home
from memory_log.records import Fact, NewExperience
from tests.log_fixtures import learn


def nothing(stage: str, done: int, total: int) -> None:
    """Progress for nobody."""


def learned_home(path: Path, num_versions: int = 2) -> Home:
    """A home with as many versions and their delta files, and one experience pending."""
    home = Home.open(path)
    with home.open_log() as log:
        for number in range(1, num_versions + 1):
            fact = Fact(subject="red mug", relation="location", value=f"drawer {number}")
            learn(log, NewExperience(text=f"The red mug is in drawer {number}.", facts=(fact,), step=number))
            home.blob_store().put(f"default/{number}.safetensors", str(number).encode())  # what `delta` has hashed
        log.append(NewExperience(text="Anna likes pears.", key="pears", session="monday"))
    return home


def texts(home: Home) -> list[str]:
    """What the home's default lineage was told, in order."""
    with home.open_log() as log:
        return [one.text for one in log.experiences("default", limit=1000)]
