"""A version as a folder that plain transformers or plain peft loads, without this project.

Knows both formats and checks each by reading it back. Refuses to know homes, command lines and serving.

`hf` is the fold itself: the weights that the version serves, bit for bit, in the type they are computed in. `peft` is
one LoRA adapter for the base model: the chain's factors side by side, A = [A_1; ...; A_n] and B = [B_1 ... B_n], so
that B A = sum of B_i A_i. It differs from the fold by rounding only: the fold rounds W + sum once, peft adds B (A x)
to W x. A difference of a dense delta counts as factors too, one of them an identity; where a delta changes anything but
linear layers there is no adapter.
"""

import copy
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from memory_log.errors import BadInput, DeltaMismatch, UnknownVersion
from memory_log.fields import Record
from memory_log.files import new_folder
from memory_log.log import MemoryLog
from memory_log.records import Version, VersionState
from updater.delta import Change, LowRank
from updater.dialogue import STYLE_FILE, PromptStyle
from updater.fold import VersionWeights, load_weights
from updater.language_model import LanguageModel, load_language_model, weights_of

EXPORT_FILE: Final = "selfparam_export.json"
MAX_WEIGHT_DIFFERENCE: Final = 1e-5
"""Of an adapter merged into the base, relative to the largest weight of the tensor."""

Format = Literal["hf", "peft"]


class ExportRecord(Record):
    """Where an exported folder comes from; `selfparam_export.json` in it.

    Example: export_version(base, log, versions, "default", 3, Path("out"), kind="hf").weights_hash
    """

    format: Format
    base_model: str
    base_fingerprint: str
    lineage: str
    version: int
    weights_hash: str
    """Of the version that the folder was made from; the base's fingerprint for version 0."""
    dtype: str
    chain: tuple[str, ...]
    """The sha256 of the deltas that make up the version, first to last."""
    rank: int | None = None
    """The largest rank of an adapter."""
    max_weight_difference: float = 0.0
    """Between the version's weights and those of the base with the adapter merged into it."""


def export_version(
    base: LanguageModel, log: MemoryLog, versions: VersionWeights, lineage: str, number: int, out: Path, *, kind: Format
) -> ExportRecord:
    """Write an admitted version into a new folder, read back and verified before the folder gets its name.

    Args:
        base: theta_0 of the lineage.
        log: the log that the version is in.
        versions: folds its weights.
        lineage: whose version.
        number: which one.
        out: a folder that is empty or not there yet.
        kind: `hf` for the whole model, `peft` for an adapter.

    Raises:
        UnknownVersion: there is no such admitted version.
        BadInput: an adapter is wanted of version 0, or `out` has something in it.
        DeltaMismatch: what was read back is not the version.
    """
    version = log.version(lineage, number)
    if version.state is not VersionState.ADMITTED:
        raise UnknownVersion(
            f"version {number} was never admitted ({version.state}: {version.reason}); export one that `versions` "
            "shows as admitted"
        )
    if kind == "peft" and number == 0:
        raise BadInput("version 0 is the base model itself, which leaves an adapter nothing to hold; use --format hf")
    with new_folder(out) as folder:
        weights = versions.weights(lineage, number)
        record = _record(base, log.chain(lineage, number), version, kind)
        if kind == "hf":
            _write_model(base, weights, folder)
            _check_model(folder, base, record.weights_hash)
        else:
            chain_changes = versions.chain_changes(lineage, number)
            _check_adaptable(base.model, chain_changes)
            factors = side_by_side(chain_changes)
            _write_adapter(base, factors, folder)
            difference = _check_adapter(folder, base, weights)
            rank = max(factor.A.shape[0] for factor in factors.values())
            record = record.model_copy(update={"rank": rank, "max_weight_difference": difference})
        (folder / EXPORT_FILE).write_text(record.model_dump_json(indent=2) + "\n", encoding="utf-8")
        (folder / "README.md").write_text(_readme(base, record), encoding="utf-8")
    return record


def _record(base: LanguageModel, chain: Sequence[Version], version: Version, kind: Format) -> ExportRecord:
    return ExportRecord(
        format=kind,
        base_model=base.name,
        base_fingerprint=base.fingerprint,
        lineage=version.lineage,
        version=version.number,
        weights_hash=version.weights_hash or base.fingerprint,
        dtype=str(base.model.dtype).removeprefix("torch."),
        chain=tuple(link.delta.sha256 for link in chain if link.delta is not None),
    )


def _write_model(base: LanguageModel, weights: Mapping[str, Tensor], folder: Path) -> None:
    model = copy.deepcopy(base.model)
    load_weights(model, weights)
    model.save_pretrained(folder)
    _write_words(base, folder)


def _write_words(base: LanguageModel, folder: Path) -> None:
    base.dialogue.tokenizer.save_pretrained(folder)
    if base.dialogue.style != PromptStyle():
        (folder / STYLE_FILE).write_text(base.dialogue.style.model_dump_json(indent=2) + "\n", encoding="utf-8")


def _check_model(folder: Path, base: LanguageModel, wanted: str) -> None:
    found = load_language_model(folder, dtype=base.model.dtype).fingerprint
    if found != wanted:
        raise DeltaMismatch(
            f"the model written to {folder} reads back as {found[:12]}, the log recorded {wanted[:12]}: its class "
            "does not save all of its weights; nothing was exported"
        )


def _check_adaptable(model: PreTrainedModel, chain: Sequence[Mapping[str, Change]]) -> None:
    linear = {f"{name}.weight" for name, module in model.named_modules() if isinstance(module, (nn.Linear, Conv1D))}
    others = sorted({name for changes in chain for name in changes} - linear)
    if others:
        raise BadInput(
            f"an adapter changes linear layers, and this version changes {len(others)} other weights, such as "
            f"{others[0]}; use --format hf"
        )


def side_by_side(chain: Sequence[Mapping[str, Change]]) -> dict[str, LowRank]:
    """One pair of factors for each weight whose product is the sum of the chain's changes.

    The rank is the sum of the chain's ranks. Where that is more than the weight's smaller side, the product itself
    (summed in float64, rounded once) beside an identity is smaller.
    """
    names = dict.fromkeys(name for changes in chain for name in changes)
    joined = {}
    for name in names:
        found = [_as_factors(changes[name]) for changes in chain if name in changes]
        A, B = torch.cat([factor.A for factor in found]), torch.cat([factor.B for factor in found], dim=1)
        joined[name] = _compact(LowRank(A, B))
    return joined


def _as_factors(change: Change) -> LowRank:
    return change if isinstance(change, LowRank) else LowRank(torch.eye(change.D.shape[1]), change.D)


def _compact(factor: LowRank) -> LowRank:
    rank, out_size, in_size = factor.A.shape[0], factor.B.shape[0], factor.A.shape[1]
    if rank <= min(out_size, in_size):
        return factor
    product = (factor.B.double() @ factor.A.double()).float()
    return LowRank(torch.eye(in_size), product) if in_size <= out_size else LowRank(product, torch.eye(out_size))


def _write_adapter(base: LanguageModel, factors: Mapping[str, LowRank], folder: Path) -> None:
    modules = {name.removesuffix(".weight"): factor for name, factor in factors.items()}
    ranks = {name: factor.A.shape[0] for name, factor in modules.items()}
    most = max(ranks.values())
    others = {name: rank for name, rank in ranks.items() if rank != most}
    config = LoraConfig(
        r=most,
        lora_alpha=most,  # alpha / r, which multiplies B A, is 1
        rank_pattern=others,
        alpha_pattern=others,
        target_modules=sorted(modules),
        task_type="CAUSAL_LM",
        base_model_name_or_path=base.name,
    )
    with warnings.catch_warnings():
        _ignore_notices()
        adapted: Any = get_peft_model(copy.deepcopy(base.model), config)
        fill_adapter(adapted, modules)
        adapted.save_pretrained(folder)
    _write_words(base, folder)


def _ignore_notices() -> None:
    # peft asks transformers for the one, and sets the other by itself, layer by layer.
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
    warnings.filterwarnings("ignore", message="fan_in_fan_out is set to", category=UserWarning)


@torch.no_grad()
def fill_adapter(adapted: Any, modules: Mapping[str, LowRank]) -> None:  # noqa: ANN401 - peft's model has no static type
    """Put the factors of every adapted weight into its layer.

    Raises:
        BadInput: the chain changes a layer that peft has no factors for.
    """
    waiting = dict(modules)
    for name, module in adapted.base_model.model.named_modules():
        if isinstance(module, LoraLayer) and name in waiting:
            down: Any = module.lora_A
            up: Any = module.lora_B
            factor = waiting.pop(name)
            # Some models (GPT-2's kind) store a layer as [in, out]; its change is then A^T B^T.
            A, B = (factor.B.T, factor.A.T) if getattr(module, "fan_in_fan_out", False) else factor
            down["default"].weight.copy_(A)
            up["default"].weight.copy_(B)
    if waiting:
        raise BadInput(f"peft has no factors for {sorted(waiting)[0]!r}, which this version changes; use --format hf")


def _check_adapter(folder: Path, base: LanguageModel, weights: Mapping[str, Tensor]) -> float:
    """The largest difference between a weight of the version and of the base with the adapter merged into it."""
    with warnings.catch_warnings():
        _ignore_notices()
        adapted: Any = PeftModel.from_pretrained(copy.deepcopy(base.model), folder)
        merged: PreTrainedModel = adapted.merge_and_unload()
    furthest = 0.0
    for name, weight in weights_of(merged).items():
        difference = float((weight.double() - weights[name].double()).abs().max())
        if difference > MAX_WEIGHT_DIFFERENCE * max(1.0, float(weights[name].abs().max())):
            raise DeltaMismatch(
                f"the adapter written to {folder} gives another {name} than the version has (by {difference:.1e}); "
                "nothing was exported: use --format hf"
            )
        furthest = max(furthest, difference)
    return furthest


def _readme(base: LanguageModel, record: ExportRecord) -> str:
    messages = _example_prompt(base)
    loading = (
        'model = AutoModelForCausalLM.from_pretrained(".")'
        if record.format == "hf"
        else f'base = AutoModelForCausalLM.from_pretrained({record.base_model!r}, dtype="{record.dtype}")\n'
        'model = PeftModel.from_pretrained(base, ".")'
    )
    importing = "" if record.format == "hf" else "from peft import PeftModel\n"
    return f"""\
# Version {record.version} of lineage {record.lineage}

Exported by selfparam. `{EXPORT_FILE}` says where it comes from.

```python
{importing}from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained(".")
{loading}
{messages}
answer = model.generate(**prompt, max_new_tokens=32, do_sample=False)
print(tokenizer.decode(answer[0, prompt["input_ids"].shape[1]:], skip_special_tokens=True))
```
"""


def _example_prompt(base: LanguageModel) -> str:
    question, instruction = "Where is the red mug?", base.dialogue.style.without_notes
    if base.dialogue.tokenizer.chat_template is None:
        plain = f"{instruction}\n\nQuestion: {question}\nAnswer:" if instruction else f"Question: {question}\nAnswer:"
        return f'prompt = tokenizer({json.dumps(plain)}, return_tensors="pt")'
    system = [{"role": "system", "content": instruction}] if instruction else []
    messages = json.dumps([*system, {"role": "user", "content": question}])
    return f"""prompt = tokenizer.apply_chat_template(
    {messages}, add_generation_prompt=True, return_tensors="pt", return_dict=True
)"""
