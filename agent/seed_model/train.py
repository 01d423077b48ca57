"""Train the embedded model: `python -m agent.seed_model.train --out FOLDER`.

Knows: the model's shape, its initialisation, the optimisation and its checkpoints. Refuses to know: updates, serving.

The run is resumable: give the same `--out` again. Every checkpoint also exports the exponential moving average of the
weights as a Hugging Face folder (`FOLDER/export`), in bfloat16, which is what the package ships.
"""

import argparse
import json
import math
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import Parameter
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from agent.seed_model.documents import WRITE_NEAR_MISS, WRITE_QUESTION
from agent.seed_model.rows import RowPacker, Rows
from agent.seed_model.tokenizer import VOCABULARY_SIZE, train_tokenizer
from updater.dialogue import OPTIONAL_INSTRUCTIONS, STYLE_FILE, PromptStyle

HIDDEN_SIZE: Final = 192
NUM_LAYERS: Final = 6
NUM_HEADS: Final = 6
INTERMEDIATE_SIZE: Final = 576
MAX_POSITIONS: Final = 1024
WARMUP_STEPS: Final = 100
EMA_DECAY: Final = 0.998
ADAM_BETAS: Final = (0.9, 0.98)
OTHER_RATE: Final = 0.5
"""Learning rate of embeddings and norms over that of the layers' matrices."""


def make_model(tokenizer: PreTrainedTokenizerBase, seed: int) -> LlamaForCausalLM:
    """A small Llama with mimetic initialisation: keys start equal to queries, output projections as values transposed,
    so that copying from the context appears within a few hundred steps (after Trockman and Kolter, arXiv 2305.09828).
    """
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY_SIZE,
        hidden_size=HIDDEN_SIZE,
        intermediate_size=INTERMEDIATE_SIZE,
        num_hidden_layers=NUM_LAYERS,
        num_attention_heads=NUM_HEADS,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    # With torch.compile faster here than the fused kernel, whose bfloat16 backward is slow on CPUs.
    model.set_attn_implementation("eager")
    std = HIDDEN_SIZE**-0.5
    with torch.no_grad():
        for layer in model.model.layers:
            attention: Any = layer.self_attn
            attention.q_proj.weight.normal_(0.0, std)
            attention.k_proj.weight.copy_(attention.q_proj.weight)
            attention.v_proj.weight.normal_(0.0, std)
            attention.o_proj.weight.copy_(attention.v_proj.weight.T)
    return model


def make_optimizers(model: LlamaForCausalLM) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al., 2024) for the layers' matrices, AdamW for embeddings and norms."""
    matrices: list[Parameter] = []
    others: list[Parameter] = []
    for name, parameter in model.named_parameters():
        (matrices if parameter.ndim == 2 and ".layers." in name else others).append(parameter)
    return [
        torch.optim.Muon(matrices, weight_decay=0.05, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, betas=ADAM_BETAS, weight_decay=0.01, fused=True),
    ]


def learning_rate(step: int, *, peak: float, num_steps: int, decay_steps: int) -> float:
    """Warm-up, constant, then linear to 2% over the last `decay_steps`."""
    if step < WARMUP_STEPS:
        return peak * (step + 1) / WARMUP_STEPS
    return peak * min(1.0, max(0.02, (num_steps - step) / max(1, decay_steps)))


def weighted_loss(logits_BTV: Tensor, rows: Rows) -> Tensor:
    """Cross-entropy of the next token in nats, averaged with the rows' weights."""
    weights = rows.weights_BT[:, 1:].reshape(-1)
    keep = weights > 0
    nats = torch.nn.functional.cross_entropy(
        logits_BTV[:, :-1].reshape(-1, logits_BTV.shape[-1])[keep].float(),
        rows.token_ids_BT[:, 1:].reshape(-1)[keep],
        reduction="none",
    )
    return (nats * weights[keep]).sum() / weights[keep].sum()


def train_step(
    model: Any,  # noqa: ANN401 - compiled or plain
    optimizers: Sequence[torch.optim.Optimizer],
    rows: Rows,
    rate: float,
) -> float:
    """Forward, loss, backward, clip, step."""
    for optimizer, ratio in zip(optimizers, (1.0, OTHER_RATE), strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate * ratio
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(
            input_ids=rows.token_ids_BT, attention_mask=rows.bias_B1TT, position_ids=rows.positions_BT, use_cache=False
        ).logits
        loss = weighted_loss(logits, rows)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return float(loss.detach())


def export(
    model: LlamaForCausalLM,
    average: dict[str, Tensor],
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    record: dict[str, Any],
) -> None:
    """Write the averaged weights in bfloat16, the tokenizer and the training record as one Hugging Face folder."""
    folder.mkdir(parents=True, exist_ok=True)
    current = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(average[name].to(torch.bfloat16).float())
        copy = LlamaForCausalLM(model.config)
        copy.load_state_dict(model.state_dict())
        rounded: Any = copy
        rounded.to(torch.bfloat16).save_pretrained(folder)
        for name, parameter in model.named_parameters():
            parameter.copy_(current[name])
    tokenizer.save_pretrained(folder)
    style = PromptStyle(
        language="household",
        with_notes="",
        without_notes="",
        write_question=WRITE_QUESTION,
        write_near_miss=WRITE_NEAR_MISS,
        # It is not trained for the others, and would claim the general ones.
        **dict.fromkeys(OPTIONAL_INSTRUCTIONS, ""),
    )
    (folder / STYLE_FILE).write_text(style.model_dump_json(indent=2) + "\n")
    (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n")


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint aside, then rename it into place."""
    aside = path.with_suffix(".tmp")
    torch.save(state, aside)
    os.replace(aside, path)


def run(arguments: argparse.Namespace) -> None:
    """Train until `--steps`, with checkpoints, continuing where an earlier run stopped."""
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(arguments.threads)
    if (out / "tokenizer").is_dir():
        tokenizer = PreTrainedTokenizerFast.from_pretrained(out / "tokenizer")
    else:
        tokenizer = train_tokenizer(seed=arguments.seed)
        tokenizer.save_pretrained(out / "tokenizer")
    model = make_model(tokenizer, arguments.seed)
    optimizers = make_optimizers(model)
    average = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    packer = RowPacker(tokenizer, row_tokens=arguments.row_tokens)
    step = 0
    checkpoint_path = out / "checkpoint.pt"
    if checkpoint_path.exists():
        checkpoint = torch.load(checkpoint_path, weights_only=True)
        model.load_state_dict(checkpoint["model"])
        for optimizer, state in zip(optimizers, checkpoint["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        average, step = checkpoint["average"], checkpoint["step"]
    compiled: Any = torch.compile(model) if arguments.compile else model
    started, recent = time.monotonic(), []
    while step < arguments.steps:
        rng = random.Random(f"{arguments.seed}/{step}")
        rows = packer.rows(rng, num_rows=arguments.rows, progress=min(1.0, step / arguments.curriculum_steps))
        rate = learning_rate(step, peak=arguments.rate, num_steps=arguments.steps, decay_steps=arguments.decay_steps)
        recent.append(train_step(compiled, optimizers, rows, rate))
        step += 1
        decay = min(EMA_DECAY, step / (step + 10))
        torch._foreach_lerp_(
            list(average.values()), [parameter.detach() for parameter in model.parameters()], 1 - decay
        )
        if step % arguments.log_every == 0:
            print(
                f"step {step} loss {sum(recent) / len(recent):.4f} rate {rate:.2e} "
                f"{(time.monotonic() - started) / len(recent):.3f} s/step",
                flush=True,
            )
            started, recent = time.monotonic(), []
        if step % arguments.save_every == 0 or step == arguments.steps:
            save_checkpoint(
                checkpoint_path,
                {
                    "model": model.state_dict(),
                    "optimizers": [optimizer.state_dict() for optimizer in optimizers],
                    "average": average,
                    "step": step,
                },
            )
            record = {
                "command": "python -m agent.seed_model.train",
                **{key: value for key, value in vars(arguments).items() if key != "out"},
                "steps_done": step,
            }
            record["num_parameters"] = sum(parameter.numel() for parameter in model.parameters())
            export(model, average, tokenizer, out / "export", record)
    assert math.isfinite(sum(float(value.sum()) for value in average.values())), "the averaged weights are not finite"


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="python -m agent.seed_model.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--out", required=True, help="folder of checkpoints and of the export; an earlier run there is continued"
    )
    parser.add_argument("--steps", type=int, default=38000, help="optimiser steps in all")
    parser.add_argument(
        "--decay-steps", type=int, default=11000, help="last steps over which the learning rate falls to 2%%"
    )
    parser.add_argument(
        "--curriculum-steps", type=int, default=2500, help="steps until documents have up to sixteen facts"
    )
    parser.add_argument("--rate", type=float, default=1.5e-3, help="peak learning rate")
    parser.add_argument("--rows", type=int, default=5, help="rows a step")
    parser.add_argument("--row-tokens", type=int, default=512, help="tokens a row")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--compile", action="store_true", help="compile the model (needs a C++ compiler; about 1.5 times as fast)"
    )
    parser.add_argument("--log-every", type=int, default=50)
    parser.add_argument("--save-every", type=int, default=500)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
