"""The same update by TRL's trainer for self-distillation with a privileged context, `SDFTTrainer`.

Of TRL 1.16's trainers it is the one that does this work: the teacher is the same model with its factors switched off
and reads the context before the prompt, the student reads the prompt. `DistillationTrainer` and `GKDTrainer` hand both
the same tokens. It is set to forward KL over the full vocabulary and given our factors, our optimiser and our
minibatches. Two of its methods are replaced, to its advantage: prompts are token ids already, and completions are the
sentences' own instead of sampled, so that nothing is generated. It also gets no activation checkpointing, and fused
attention: teacher and student are one model to it, and at long contexts plain attention takes it twice the time.

Knows: TRL. Refuses to know: clocks, figures.
"""

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import Sampler as OrderOfRows
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from benchmarks.update_speed_contestants import Updated
from benchmarks.update_speed_setup import PAD, Work, student_of
from updater.products import autocast
from updater.training import rate_at

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it says that it may change
    from datasets import Dataset
    from trl.experimental.sdft import SDFTConfig, SDFTTrainer


class _Order(OrderOfRows[int]):
    """Rows in the order of given minibatches."""

    def __init__(self, minibatches: Sequence[Sequence[int]]) -> None:
        self._rows = [row for minibatch in minibatches for row in minibatch]

    def __iter__(self) -> Iterator[int]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


class _OnSentences(SDFTTrainer):
    """The trainer on prompts of token ids and completions that are there already.

    A prompt is text to the trainer; here it is the number of a sentence, or `c` and the number where the context stands
    before it.
    """

    def __init__(self, work: Work, minibatches: Sequence[Sequence[int]], **options: Any) -> None:  # noqa: ANN401
        self._work, self._minibatches, self._asked = work, minibatches, list[int]()
        super().__init__(**options)

    def _get_train_sampler(self, dataset: object = None) -> _Order:
        return _Order(self._minibatches)

    def _tokenize_prompts(self, prompts: list[str]) -> list[list[int]]:
        if prompts[0].startswith("c"):
            return [list(self._work.contexts[int(prompt[1:])]) for prompt in prompts]
        self._asked = [int(prompt) for prompt in prompts]
        return [list(self._work.sentences[row].prompt_ids) for row in self._asked]

    def _generate(self, prompt_ids: list[list[int]]) -> tuple[list[list[int]], list[list[int]]]:
        return prompt_ids, [list(self._work.sentences[row].completion_ids) for row in self._asked]


def by_trl(model: PreTrainedModel, work: Work, minibatches: Sequence[Sequence[int]]) -> Updated:
    """What its user gets: the trainer is made and trains. The minibatches are those that another has taken."""
    student, optimizer = student_of(model, work)
    whole: Any = student
    whole.get_base_model().set_attn_implementation("sdpa")
    settings = work.settings
    rates = [rate_at(step, step / work.num_steps, settings) / settings.learning_rate for step in range(work.num_steps)]
    with autocast(model.device):
        in_bfloat16 = torch.is_autocast_enabled(model.device.type)
    with tempfile.TemporaryDirectory(prefix="selfparam-trl-") as folder:
        config = SDFTConfig(
            output_dir=folder,
            max_steps=work.num_steps,
            per_device_train_batch_size=work.batch,
            gradient_accumulation_steps=1,
            num_generations=1,
            steps_per_generation=1,
            max_completion_length=max(len(sentence.completion_ids) for sentence in work.sentences),
            max_prompt_length=None,
            distillation_mode="full_logits",
            distillation_alpha=0.0,
            num_loss_tokens_to_skip=0,
            teacher_model_kind="base",
            teacher_prompt_template="{privileged_context}{prompt}",
            activation_checkpointing=False,
            max_grad_norm=1.0,
            bf16=in_bfloat16,
            use_cpu=model.device.type == "cpu",
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            seed=settings.seed,
        )
        rows = [{"prompt": str(row), "privileged_context": "c"} for row in range(len(work.sentences))]
        trainer = _OnSentences(
            work,
            minibatches,
            model=student,
            args=config,
            train_dataset=Dataset.from_list(rows),
            processing_class=_tokenizer(),
            optimizers=(optimizer, LambdaLR(optimizer, lambda step: rates[min(step, len(rates) - 1)])),
        )
        trainer.train()
    return Updated(lambda: student, minibatches)


def _tokenizer() -> PreTrainedTokenizerFast:
    """One that the trainer asks for its padding and end only."""
    words = {"<pad>": PAD, "<s>": 1, "</s>": 2, "<unk>": 3}
    fast: Any = PreTrainedTokenizerFast
    made: PreTrainedTokenizerFast = fast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token="<unk>")),
        pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>",
    )  # fmt: skip
    return made
