"""The language model as an agent: it reads an observation, and the command that it is most likely to say is done.

Knows: how commands are scored. Refuses to know: environments, what is recorded. Because commands are scored and not
generated, every causal LM can act, also one that was never told how; acting well is another matter.
"""

import math
import random
from collections.abc import Mapping, Sequence
from typing import Any, Final

import torch
from transformers import PreTrainedModel

from agent.environments.policies import COMMANDS
from agent.memory import AgentMemory
from memory_log.errors import BadInput
from updater.caches import can_share_prefixes, read_prefix
from updater.memory import in_pieces
from updater.sequences import TokenizedSentence, collate, completion_logits

QUESTION: Final = "{observation}\nWhat do you do next?"
BATCH: Final = 64


class ModelPolicy:
    """Chooses among `info["admissible_commands"]` by the model's probabilities, from its weights alone.

    A command's score is the mean log-probability of its tokens as the answer to the observation and `What do you do
    next?`, its end among them; the mean, so that long commands are not at a disadvantage. The newest admitted version
    of the lineage answers, so that the agent acts on what it has learned meanwhile.

    Args:
        memory: whose model.
        temperature: 0 takes the best command; above, commands are drawn with probability exp(score / temperature),
            normalised. A model that does not know what to do says the same again and again at 0.
        seed: decides the draws.

    Raises:
        BadInput: the temperature is negative or not finite.
    """

    def __init__(self, memory: AgentMemory, *, temperature: float = 0.0, seed: int = 0) -> None:
        if not math.isfinite(temperature) or temperature < 0:
            raise BadInput(f"got temperature={temperature}, needed a number from 0")
        self._memory, self._temperature, self._rng = memory, temperature, random.Random(seed)

    def choose(self, observation: object, info: Mapping[str, Any]) -> str:
        """The next command.

        Raises:
            BadInput: the observation is no text, no commands are named, or the model cannot read so much.
        """
        commands: Sequence[str] = info.get(COMMANDS) or ()
        if not isinstance(observation, str) or not commands:
            raise BadInput(
                f"the language model acts on texts and {COMMANDS!r} in infos; got an observation of type "
                f"{type(observation).__name__} and {len(commands)} commands: use another policy, or a wrapper that "
                "names them"
            )
        scores = self.scores(observation, commands)
        if self._temperature == 0:
            return commands[max(range(len(commands)), key=scores.__getitem__)]
        best = max(scores)
        weights = [math.exp((score - best) / self._temperature) for score in scores]
        return self._rng.choices(list(commands), weights)[0]

    def scores(self, observation: str, commands: Sequence[str]) -> list[float]:
        """The mean log-probability, in nats a token, of each command as the answer.

        Raises:
            BadInput: the model cannot read so much.
        """
        memory = self._memory
        dialogue, limit = memory.base.dialogue, memory.base.context_length
        prompt = dialogue.prompt_ids(QUESTION.format(observation=observation))
        answers = [tuple(dialogue.completion_ids(command)) for command in commands]
        longest = len(prompt) + max(map(len, answers))
        if limit is not None and longest > limit:
            raise BadInput(
                f"an observation and a command take {longest} tokens, and the model reads {limit}; use a model that "
                "reads more, or an environment that says less"
            )
        model = memory.model(memory.admitted(None))
        return mean_logprobs(model, prompt, answers, dialogue.pad_token_id)


@torch.inference_mode()
def mean_logprobs(
    model: PreTrainedModel, prompt: Sequence[int], answers: Sequence[Sequence[int]], pad_token_id: int
) -> list[float]:
    """The mean log-probability, in nats a token, of each answer after one prompt, which is read once where that can be.

    Args:
        model: any causal LM.
        prompt: token ids, at least one.
        answers: token ids, at least one each.
        pad_token_id: fills up shorter answers.
    """
    shared = len(prompt) - 1 if can_share_prefixes(model) else 0
    prefix = read_prefix(model, prompt[:shared]) if shared else None

    def score(piece: Sequence[Sequence[int]]) -> list[float]:
        rest = tuple(prompt[shared:])
        batch = collate([TokenizedSentence(rest, tuple(answer)) for answer in piece], pad_token_id, model.device)
        logprobs_BTV = completion_logits(model, batch, prefix).float().log_softmax(-1)
        said_BT = logprobs_BTV.gather(-1, batch.completion_ids_BT[..., None])[..., 0].masked_fill(~batch.mask_BT, 0.0)
        means: list[float] = (said_BT.sum(-1) / batch.mask_BT.sum(-1)).tolist()
        return means

    pieces = in_pieces(answers, score, most=BATCH, model=model, work="choosing a command")
    return [mean for _, means in pieces for mean in means]
