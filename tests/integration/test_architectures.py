"""Any causal language model: tiny ones of many architectures from their folders, learned with, folded and served."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from agent.serving import ModelServer
from tests.architecture_fixtures import CONFIGS, model_folder
from tests.model_fixtures import ANSWERS, QUESTIONS, greedy_ids
from updater.adapters import attach_lora, learned_factors
from updater.caches import has_plain_cache
from updater.delta import delta_bytes, read_delta
from updater.fold import add_delta, load_weights, rounded
from updater.language_model import LanguageModel, load_language_model, quiet_transformers, weights_hash, weights_of
from updater.sequences import TokenizedSentence, collate, completion_logits
from updater.settings import UpdateSettings
from updater.targets import TeacherTargets, compute_targets, sentence_kl
from updater.training import TrainingResult, TrainingSet, train

NOTE = "I put the red mug in the kitchen drawer."
# Layers with random weights read related and unrelated text alike: what holds them for one holds them for the other.
SETTINGS = UpdateSettings(
    num_steps=14, rank=4, batch_about=4, batch_anchors=2, learning_rate=1e-2, stop_kl_nats=0.0, lowest_adapted=0.0,
    layer_weight=0.1,
)  # fmt: skip
NEAR_TIE = 1e-4
STORED = ((True, torch.float32), (False, torch.bfloat16), (False, torch.float32), (True, torch.bfloat16))
# Every architecture both tied and untied; chat template and stored type take turns.
VARIANTS = [
    pytest.param(name, tied, *STORED[(place + tied) % len(STORED)], id=f"{name}-{'tied' if tied else 'untied'}")
    for place, name in enumerate(CONFIGS)
    for tied in (True, False)
]


@pytest.fixture(scope="module", autouse=True)
def _quiet() -> None:
    quiet_transformers()


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Model folders by their variant, each written once."""
    folders: dict[tuple[object, ...], Path] = {}

    def made(name: str, tied: bool, has_chat_template: bool, dtype: torch.dtype) -> Path:
        key = (name, tied, has_chat_template, dtype)
        if key not in folders:
            folders[key] = model_folder(
                tmp_path_factory.mktemp(name), name, tied=tied, has_chat_template=has_chat_template, dtype=dtype
            )
        return folders[key]

    return made


def targets_of(base: LanguageModel, notes: list[str]) -> list[TeacherTargets]:
    dialogue = base.dialogue
    sentences = [
        TokenizedSentence(tuple(dialogue.prompt_ids(question)), tuple(dialogue.completion_ids(answer)))
        for question, answer in zip(QUESTIONS, ANSWERS, strict=True)
    ]
    contexts = [dialogue.prompt_ids(question, notes) for question in QUESTIONS]
    return compute_targets(base.model, sentences, contexts, k=16, pad_token_id=dialogue.pad_token_id)


def learned(base: LanguageModel, about: list[TeacherTargets]) -> TrainingResult:
    sentences = TrainingSet(about[:3], about[3:], [], targets_of(base, [])[:1], [], [], [])
    pad = base.dialogue.pad_token_id
    return train(base.model, sentences, SETTINGS, seed=0, pad_token_id=pad, progress=lambda done, total: None)


def folded(base: LanguageModel, factors: dict[str, Any]) -> PreTrainedModel:
    weights = weights_of(base.model)
    model = copy.deepcopy(base.model)
    load_weights(model, rounded(add_delta({n: w.double() for n, w in weights.items()}, factors), weights))
    return model


def stirred(student: Any) -> Any:  # noqa: ANN401 - peft's model has no useful static type
    """The student with factors that change something, as after many steps."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in student.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    return student


@pytest.mark.parametrize(("name", "tied", "has_chat_template", "dtype"), VARIANTS)
def test_a_model_from_a_folder_is_learned_with_and_its_fold_is_what_was_learned(
    folder_of: Callable[..., Path], tmp_path: Path, name: str, tied: bool, has_chat_template: bool, dtype: torch.dtype
) -> None:
    folder = folder_of(name, tied, has_chat_template, dtype)
    base = load_language_model(folder)
    weights, pad = weights_of(base.model), base.dialogue.pad_token_id
    assert base.fingerprint == load_language_model(folder).fingerprint
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    is_shared = base.model.get_output_embeddings().weight is base.model.get_input_embeddings().weight
    assert is_shared == tied

    about = targets_of(base, [NOTE])
    result = learned(base, about)
    assert result.changes.keys() <= weights.keys()
    served = folded(base, result.changes)
    before, after = sentence_kl(base.model, about, pad), sentence_kl(served, about, pad)
    assert sum(after) < 0.5 * sum(before)
    assert base.fingerprint == weights_hash(weights_of(base.model))
    is_shared = served.get_output_embeddings().weight is served.get_input_embeddings().weight
    assert is_shared == tied

    student = stirred(attach_lora(base.model, SETTINGS))
    batch = collate([target.sentence for target in about], pad, torch.device("cpu"))
    factors = learned_factors(student)
    with torch.inference_mode():
        adapted = completion_logits(student, batch)[batch.mask_BT]
        refolded = completion_logits(folded(base, factors), batch)[batch.mask_BT]
        unchanged = completion_logits(base.model, batch)[batch.mask_BT]
    assert (adapted - unchanged).abs().max() > 0.05
    torch.testing.assert_close(refolded, adapted, rtol=1e-4, atol=1e-3)

    path = tmp_path / "1.safetensors"
    path.write_bytes(delta_bytes(factors, base_fingerprint=base.fingerprint, parent_hash=base.fingerprint))
    read = read_delta(path, base_fingerprint=base.fingerprint, parent_hash=base.fingerprint, weights=weights)
    assert weights_hash(weights_of(folded(base, read))) == weights_hash(weights_of(folded(base, factors)))


@pytest.mark.parametrize("name", CONFIGS)
def test_computed_in_bfloat16_it_still_comes_closer_to_what_is_taught(
    folder_of: Callable[..., Path], name: str
) -> None:
    base = load_language_model(folder_of(name, True, True, torch.float32), dtype=torch.bfloat16)
    about = targets_of(base, [NOTE])
    served = folded(base, learned(base, about).changes)
    assert {weight.dtype for weight in weights_of(served).values()} == {torch.bfloat16}
    pad = base.dialogue.pad_token_id
    assert sum(sentence_kl(served, about, pad)) < 0.6 * sum(sentence_kl(base.model, about, pad))


@pytest.mark.parametrize("name", CONFIGS)
def test_a_served_version_answers_in_a_batch_as_its_weights_do_alone(
    folder_of: Callable[..., Path], name: str
) -> None:
    base = load_language_model(folder_of(name, False, True, torch.float32))
    factors = learned_factors(stirred(attach_lora(base.model, SETTINGS)))
    alone = folded(base, factors)
    notes = ([], [NOTE, "Mira likes tea."])
    prompts = [tuple(base.dialogue.prompt_ids(question, some)) for question in QUESTIONS for some in notes]
    with ModelServer(copy.deepcopy(base.model), eos_token_ids=(), pad_token_id=base.dialogue.pad_token_id) as server:
        server.prepare(1, weights_of(alone))
        server.activate(1)
        answers = [future.result(60) for future in [server.submit(p, max_new_tokens=6) for p in prompts]]
    assert has_plain_cache(base.model) == (name != "gemma2")
    clear = [(p, a) for p, a in zip(prompts, answers, strict=True) if a.min_top2_gap >= NEAR_TIE]
    assert len(clear) > len(prompts) / 2
    for prompt, answer in clear:
        assert answer.version == 1 and answer.token_ids == greedy_ids(alone, prompt, 6)
