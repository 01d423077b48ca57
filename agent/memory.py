"""One agent's memory in one process: tell, ask, update. No Ray.

Knows: putting the log, the updater and a model together for one home and one lineage. Refuses to know: HTTP, actors,
displays.
"""

import copy
import logging
import os
import socket
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from pydantic import BaseModel, ConfigDict
from transformers import PreTrainedModel

from agent.filtering import filter_for
from agent.home import Home
from agent.home_base import WEIGHTS, check_base
from agent.home_settings import HomeSettings, read_settings
from agent.household.anchors import household_anchors
from agent.reading_probe import probe_reading, remembered_probe
from agent.writing import writer_of
from memory_log.closing import Closing
from memory_log.errors import BadInput, UnknownVersion
from memory_log.log import MemoryLog
from memory_log.records import ClaimOrder, Experience, Fact, NewExperience, StoredTarget, Version, VersionState
from updater.anchors import AnchorSource, passage_anchors, self_sampled_anchors
from updater.candidates import Writer
from updater.filters import ExperienceFilter
from updater.fold import load_weights
from updater.gate import SentenceFit, sentence_fits
from updater.generation import MAX_NEW_TOKENS, fits, generate_texts
from updater.language_model import LanguageModel, load_language_model, quiet_transformers
from updater.memory import naming_out_of_memory
from updater.passages import Passages
from updater.plan import UpdatePlan
from updater.report import Progress, UpdateReport, silent
from updater.settings import GateSettings, UpdateSettings
from updater.targets import TeacherTargets
from updater.update import Updater

DEFAULT_BATCH = 8

_LOGGER = logging.getLogger(__name__)


class Answer(BaseModel):
    """What one version answered.

    Example: Answer(text="the red mug is in the kitchen drawer", version=1, known=True)
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    text: str
    version: int
    known: bool
    """False where the model says that it does not know."""


def choose_device(wanted: str) -> str:
    """`auto` is the first GPU where there is one, else the CPU.

    Raises:
        BadInput: this machine has no such device.
    """
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(0, device=wanted)
    except (RuntimeError, AssertionError) as exc:
        raise BadInput(
            f"the device {wanted!r} cannot be used here ({str(exc).splitlines()[0]}); use --device cpu or --device auto"
        ) from exc
    return wanted


def anchors_for(base: LanguageModel, path: str | None = None) -> AnchorSource:
    """Anchors from the text that is given, else the household's for a model of its language, else own samples.

    Args:
        base: theta_0.
        path: a text file or a folder of such.

    Raises:
        BadInput: there is no text.
    """
    if path is not None:
        return passage_anchors(base, Passages(Path(path).expanduser()))
    return household_anchors if base.dialogue.style.language == "household" else self_sampled_anchors(base)


def worker_name() -> str:
    """A name that no other live process on any host has."""
    return f"{socket.gethostname()}-{os.getpid()}"


class AgentMemory(Closing):
    """An agent that is told things, learns them into its weights and answers from them.

    Example:
        with AgentMemory.open("home") as memory:
            memory.tell("I put the red mug in the kitchen drawer.")
            memory.update()
            print(memory.ask("Where can I find the red mug?").text)
    """

    def __init__(
        self,
        home: Home,
        *,
        lineage: str = "default",
        device: str = "auto",
        settings: UpdateSettings | None = None,
        gate: GateSettings | None = None,
        filter: ExperienceFilter | None = None,
        anchors: str | None = None,
        writer: Writer | None = None,
        chosen: HomeSettings | None = None,
        owner: str | None = None,
    ) -> None:
        self.home, self.lineage, self._owner = home, lineage, owner or worker_name()
        self.log: MemoryLog = home.open_log()
        self._device, self._settings, self._gate, self._writer, self._chosen = device, settings, gate, writer, chosen
        self._filter = filter_for(home, filter)
        self._anchors = anchors or home.config.anchors
        self._loaded: tuple[int, PreTrainedModel] | None = None

    @classmethod
    def open(
        cls,
        home: str | Path = ".selfparam",
        *,
        model: str | None = None,
        lineage: str = "default",
        device: str = "auto",
        settings: UpdateSettings | None = None,
        gate: GateSettings | None = None,
        filter: ExperienceFilter | None = None,
        anchors: str | None = None,
        writer: Writer | None = None,
        chosen: HomeSettings | None = None,
        owner: str | None = None,
        to_write: bool = True,
    ) -> Self:
        """Open a home folder, and make it where there is none.

        Args:
            home: the folder of the log, the delta files and the configuration.
            model: folder or Hugging Face id of a causal LM; None is the embedded one, or what the home was made with.
            lineage: whose memory.
            device: `auto`, `cpu`, `cuda`.
            settings: how updates are made; None takes what the home's `selfparam.toml` says, else the defaults.
            gate: what a version must show; None likewise.
            filter: what of each experience may be learned, such as `updater.filters.redact_personal`; comes after the
                filter that the home's `config.json` names. None adds nothing to that.
            anchors: a text file or a folder of such, where unrelated sentences come from; None takes what the home's
                `config.json` names, else the household's language for the embedded model and own samples for others.
            writer: who writes questions and statements about experiences; None takes who `selfparam.toml` names, else
                the model itself.
            chosen: what counts in place of the home's `selfparam.toml`; None reads that.
            owner: the name under which updates hold their leases; None is one that no other live process has.
            to_write: whether a home that cannot be written is refused; otherwise its memory can still be asked.

        Raises:
            BaseModelChanged: the home was made with another model.
        """
        opened = Home.open(home, model=model, to_write=to_write)
        return cls(
            opened, lineage=lineage, device=device, settings=settings, gate=gate, filter=filter, anchors=anchors,
            writer=writer, chosen=chosen, owner=owner,
        )  # fmt: skip

    def close(self) -> None:
        """Close the log."""
        self.log.close()

    @cached_property
    def base(self) -> LanguageModel:
        """theta_0, loaded when first needed, and checked against the lineage's."""
        quiet_transformers()
        base = load_language_model(self.home.model_source, device=choose_device(self._device))
        check_base(self.home.path, self.lineage, base.name, {WEIGHTS: base.fingerprint, **base.identity})
        self.log.ensure_lineage(self.lineage, base_fingerprint=base.fingerprint)
        return base

    @cached_property
    @naming_out_of_memory("making room for an update")
    def updater(self) -> Updater:
        """The updater of this process.

        Raises:
            BadInput: the home's `selfparam.toml` does not fit.
        """
        chosen = self._chosen or read_settings(self.home.path)
        return Updater(
            self.base,
            self.log,
            self.home.blob_store(),
            anchors=anchors_for(self.base, self._anchors),
            owner=self._owner,
            settings=self._settings or chosen.update,
            gate=self._gate or chosen.gate,
            experience_filter=self._filter,
            writer=self._writer or writer_of(chosen, os.environ),
        )

    def tell(
        self,
        text: str,
        *,
        facts: Sequence[Fact] = (),
        key: str | None = None,
        session: str = "default",
        agent: str = "agent",
    ) -> Experience:
        """Record an experience; it is durable when this returns, and learned by the next update."""
        return self.log.append(
            NewExperience(text=text, lineage=self.lineage, facts=tuple(facts), key=key, session=session, agent=agent)
        )

    def update(
        self,
        *,
        limit: int | None = None,
        order: ClaimOrder = "oldest",
        progress: Progress = silent,
        warn: Callable[[str], None] = _LOGGER.warning,
    ) -> UpdateReport:
        """Learn pending experiences into a new version.

        Args:
            limit: most experiences of this update; None learns up to 8.
            order: which come first: `oldest`, `priority` or `surprise`; see `MemoryLog.open_batch`.
            progress: called with (stage, done, total).
            warn: told, before a home's first update, when its model seems unable to read; the update goes on.

        Raises:
            NothingPending, LineageBusy, UpdatesPaused, FilterFailed: see `Updater.update`.
        """
        self._probe_reading_once(progress, warn)
        return self.updater.update(self.lineage, limit=limit or DEFAULT_BATCH, order=order, progress=progress)

    def plan(
        self, *, limit: int | None = None, order: ClaimOrder = "oldest", progress: Progress = silent
    ) -> UpdatePlan:
        """What `update` would do now, without doing it; see `Updater.plan`."""
        return self.updater.plan(self.lineage, limit=limit or DEFAULT_BATCH, order=order, progress=progress)

    def fits(self, targets: Sequence[StoredTarget], *, version: int | None = None) -> tuple[int, list[SentenceFit]]:
        """How well the newest version, or any admitted one, knows stored target sentences; the version, and each fit.

        Raises:
            UnknownVersion: there is no such admitted version.
        """
        chosen = self.admitted(version)
        known = [TeacherTargets.from_bytes(target.payload) for target in targets]
        return chosen, sentence_fits(self.model(chosen), known, self.base.dialogue.pad_token_id)

    def _probe_reading_once(self, progress: Progress, warn: Callable[[str], None]) -> None:
        if self.home.config.model is None or remembered_probe(self.home.path, self.base) is not None:
            return  # the embedded model is known to read
        progress("reading probe", 0, 1)
        probe = probe_reading(self.home.path, self.base)
        if not probe.reads:
            warn(
                f"{self.base.name} reads {probe.num_right} of {probe.num_asked} notes in its prompt, so updates will "
                f"probably be refused; see what it can do with: selfparam check-model {self.base.name}"
            )

    def ask(self, question: str, *, version: int | None = None, notes: Sequence[str] = ()) -> Answer:
        """Ask the newest version, or any admitted one, from its weights alone (or with notes in the prompt)."""
        return self.ask_many([question], version=version, notes=[tuple(notes)])[0]

    def ask_many(
        self, questions: Sequence[str], *, version: int | None = None, notes: Sequence[Sequence[str]] | None = None
    ) -> list[Answer]:
        """Ask many questions of one version at once; `notes` gives each its own context.

        Raises:
            BadInput: a question is empty, or longer with its notes than the model can read.
            UnknownVersion: there is no such admitted version.
        """
        if any(not question.strip() for question in questions):
            raise BadInput("the question is empty; ask something, such as: Where is the red mug?")
        contexts = notes if notes is not None else [()] * len(questions)
        prompts = [
            self.base.dialogue.prompt_ids(question, list(context))
            for question, context in zip(questions, contexts, strict=True)
        ]
        self._check_lengths(prompts)
        chosen = self.admitted(version)
        texts = generate_texts(self.model(chosen), self.base.dialogue, prompts)
        return [Answer(text=text, version=chosen, known=not self.base.dialogue.says_unknown(text)) for text in texts]

    def _check_lengths(self, prompts: Sequence[Sequence[int]]) -> None:
        longest = max(prompts, key=len, default=())
        if not fits(longest, self.base.context_length):
            raise BadInput(
                f"a question takes {len(longest)} tokens with its notes; the model reads {self.base.context_length}, "
                f"and {MAX_NEW_TOKENS} of them are kept for the answer: ask something shorter"
            )

    @naming_out_of_memory("making a version's weights")
    def model(self, number: int) -> PreTrainedModel:
        """A model with a version's weights; the same object is filled anew when another version is asked for."""
        if self._loaded is None or self._loaded[0] != number:
            model = self._loaded[1] if self._loaded else copy.deepcopy(self.base.model)
            self._loaded = None
            load_weights(model, self.updater.versions.weights(self.lineage, number))
            self._loaded = (number, model)
        return self._loaded[1]

    def versions(self) -> list[Version]:
        """Every version by number, rejected ones too."""
        _ = self.base
        return self.log.versions(self.lineage)

    def rollback(self, number: int) -> Version:
        """Move serving and head back to a version; what was learned only since then is pending again."""
        _ = self.base
        return self.log.rollback(self.lineage, number)

    def admitted(self, number: int | None) -> int:
        """The number of an admitted version; None is the one that serves.

        Raises:
            UnknownVersion: there is no such admitted version.
        """
        _ = self.base
        version = self.log.head(self.lineage) if number is None else self.log.version(self.lineage, number)
        if version.state is not VersionState.ADMITTED:
            raise UnknownVersion(
                f"version {version.number} cannot be used ({version.state}: {version.reason}); take one that "
                "`selfparam versions` shows as admitted"
            )
        return version.number
