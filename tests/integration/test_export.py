"""Exported versions in the hands of plain transformers and plain peft."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from peft import PeftModel
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaForCausalLM,
    PreTrainedModel,
)

from agent.cli import main
from agent.home import Home
from memory_log.blobs import BlobStore
from memory_log.errors import BadInput, DeltaCorrupt, UnknownVersion
from memory_log.log import MemoryLog
from tests.model_fixtures import QUESTIONS, greedy_ids, grow, household_dialogue, tiny_llama, tiny_tokenizer
from updater.delta import LowRank
from updater.export import EXPORT_FILE, ExportRecord, Format, export_version, side_by_side
from updater.fold import VersionWeights, load_weights
from updater.language_model import LanguageModel, load_language_model, weights_hash, weights_of

pytestmark = [
    # What peft itself says to whoever loads an adapter with it.
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:fan_in_fan_out is set to:UserWarning"),
]

LOGIT_BOUND = 1e-4
"""What docs/in-and-out.md states; the logits of these models reach tens."""


class Lived(NamedTuple):
    """A base model, and a lineage with a chain of three versions of it."""

    kind: str
    base: LanguageModel
    folder: Path
    log: MemoryLog
    blobs: BlobStore
    versions: VersionWeights

    def export(self, number: int, out: Path, kind: Format) -> ExportRecord:
        return export_version(self.base, self.log, self.versions, "default", number, out, kind=kind)

    def served(self, number: int) -> PreTrainedModel:
        model = AutoModelForCausalLM.from_pretrained(self.folder, dtype=torch.float32)
        load_weights(model, self.versions.weights("default", number))
        return model


def llama(*, tied: bool) -> LlamaForCausalLM:
    config = tiny_llama().config
    config.tie_word_embeddings = tied
    torch.manual_seed(1)
    return LlamaForCausalLM(config).eval()


def gpt2() -> GPT2LMHeadModel:
    torch.manual_seed(1)
    vocab = len(tiny_tokenizer())
    return GPT2LMHeadModel(
        GPT2Config(
            vocab_size=vocab, n_positions=256, n_embd=32, n_layer=2, n_head=4, initializer_range=0.3,
            bos_token_id=1, eos_token_id=2,
        )
    ).eval()  # fmt: skip


CHAINS = {
    # The versions adapt other layers with other ranks, as settings that changed in between would.
    "llama": [
        {"model.layers.0.self_attn.v_proj": 3, "model.layers.1.mlp.down_proj": 3},
        {"model.layers.1.mlp.down_proj": 5},
        {"model.layers.1.mlp.down_proj": 2, "model.layers.1.self_attn.o_proj": 40},
    ],
    "gpt2": [
        {"transformer.h.0.attn.c_attn": 3, "transformer.h.1.mlp.c_proj": 3},
        {"transformer.h.1.mlp.c_proj": 5},
        {"transformer.h.1.mlp.c_fc": 40},
    ],
}


def factors(base: LanguageModel, ranks: dict[str, int], seed: int) -> dict[str, LowRank]:
    weights, generator = weights_of(base.model), torch.Generator().manual_seed(seed)
    return {
        f"{name}.weight": LowRank(
            torch.randn(rank, weights[f"{name}.weight"].shape[1], generator=generator),
            0.02 * torch.randn(weights[f"{name}.weight"].shape[0], rank, generator=generator),
        )
        for name, rank in ranks.items()
    }


@pytest.fixture(scope="module", params=["llama", "llama untied", "gpt2"])
def lived(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    root = tmp_path_factory.mktemp("lived")
    model = gpt2() if request.param == "gpt2" else llama(tied=request.param == "llama")
    model.save_pretrained(root / "base")
    tiny_tokenizer().save_pretrained(root / "base")
    kind = request.param.split()[0]
    base = load_language_model(root / "base")
    blobs = BlobStore(root / "blobs")
    with MemoryLog(f"sqlite:///{root}/log.db") as log:
        for seed, ranks in enumerate(CHAINS[kind]):
            grow(log, blobs, factors(base, ranks, seed), base=base)
        yield Lived(kind, base, root / "base", log, blobs, VersionWeights(base, log, blobs))


def prompts() -> list[tuple[int, ...]]:
    return [tuple(household_dialogue().prompt_ids(question)) for question in QUESTIONS]


def answers(model: PreTrainedModel | PeftModel) -> list[tuple[int, ...]]:
    return [greedy_ids(model.eval(), prompt, 12) for prompt in prompts()]


@torch.inference_mode()
def logits(model: PreTrainedModel | PeftModel) -> torch.Tensor:
    return torch.cat([model.eval()(input_ids=torch.tensor([prompt])).logits[0] for prompt in prompts()])


@pytest.mark.parametrize("number", [0, 3])
def test_plain_transformers_loads_the_very_weights_and_gives_the_same_answers(
    lived: Lived, tmp_path: Path, number: int
) -> None:
    record = lived.export(number, tmp_path / "out", "hf")
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert weights_hash(weights_of(plain)) == weights_hash(lived.versions.weights("default", number))
    assert record.weights_hash == weights_hash(weights_of(plain))
    served = lived.served(number)
    assert torch.equal(logits(plain), logits(served)) and answers(plain) == answers(served)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer("Where is the red mug?").input_ids == tiny_tokenizer()("Where is the red mug?").input_ids


@pytest.mark.parametrize("number", [1, 3])
def test_plain_peft_loads_one_adapter_for_the_chain_and_gives_the_same_answers(
    lived: Lived, tmp_path: Path, number: int
) -> None:
    record = lived.export(number, tmp_path / "out", "peft")
    base = AutoModelForCausalLM.from_pretrained(lived.folder, dtype=torch.float32)
    before = logits(base)
    adapted = PeftModel.from_pretrained(base, tmp_path / "out")
    served = lived.served(number)
    assert float((logits(adapted) - logits(served)).abs().max()) < LOGIT_BOUND
    assert float((logits(adapted) - before).abs().max()) > 100 * LOGIT_BOUND
    assert answers(adapted) == answers(served)
    assert record.max_weight_difference < 1e-6
    assert record.rank == max(json.loads((tmp_path / "out" / "adapter_config.json").read_text())["r"], 1)


def test_the_folder_says_where_it_comes_from(lived: Lived, tmp_path: Path) -> None:
    lived.export(2, tmp_path / "out", "hf")
    said = json.loads((tmp_path / "out" / EXPORT_FILE).read_text())
    chain = lived.log.chain("default", 2)
    assert said["base_fingerprint"] == lived.base.fingerprint and said["version"] == 2
    assert said["weights_hash"] == chain[-1].weights_hash
    assert said["chain"] == [version.delta.sha256 for version in chain if version.delta]
    assert "AutoModelForCausalLM" in (tmp_path / "out" / "README.md").read_text()


def test_what_cannot_be_exported_leaves_no_folder(lived: Lived, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="--format hf"):
        lived.export(0, tmp_path / "out", "peft")
    with pytest.raises(UnknownVersion):
        lived.export(9, tmp_path / "out", "hf")
    path = lived.blobs.root / "default/2.safetensors"
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    try:
        with pytest.raises(DeltaCorrupt):
            export_version(
                lived.base, lived.log, VersionWeights(lived.base, lived.log, lived.blobs), "default", 3,
                tmp_path / "out", kind="peft",
            )  # fmt: skip
    finally:
        path.write_bytes(whole)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("keep")
    with pytest.raises(BadInput, match="something in it"):
        lived.export(1, tmp_path / "out", "hf")
    assert (tmp_path / "out" / "mine").read_text() == "keep"


def test_the_command_exports_what_serves_and_says_what_an_adapter_needs(
    lived: Lived, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = Home.open(tmp_path / "home", model=str(lived.folder))
    with home.open_log() as log:
        ranks = dict.fromkeys(CHAINS[lived.kind][0], 2)
        grow(log, home.blob_store(), factors(lived.base, ranks, 0), base=lived.base)
    words = ["--home", str(home.path), "export", "--out", str(tmp_path / "out"), "--format", "peft"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"version 1 is in {tmp_path}/out: an adapter of rank 2, weights ")
    assert f"base      {lived.folder}, loaded as float32" in said.out and "writing and verifying" in said.err
    assert main(words) == 2 and "something in it" in capsys.readouterr().err
    assert main([*words[:2], "export", "0", "--out", str(tmp_path / "base"), "--format", "peft"]) == 2
    assert "--format hf" in capsys.readouterr().err


def test_a_chain_longer_than_a_layer_is_wide_needs_no_more_than_its_width() -> None:
    generator = torch.Generator().manual_seed(0)
    chain = [
        {"a": LowRank(torch.randn(4, 6, generator=generator), torch.randn(9, 4, generator=generator))} for _ in range(3)
    ]
    joined = side_by_side(chain)["a"]
    total = sum(link["a"].B.double() @ link["a"].A.double() for link in chain)
    assert joined.A.shape[0] == 6
    assert torch.allclose(joined.B.double() @ joined.A.double(), total, atol=1e-5)
