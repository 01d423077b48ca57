"""How surprising an experience is to a version: what an update of it would have to teach.

Knows: asking theta_0 about an experience, and how far a version is from its answers. Refuses to know: the log, when to
update.

    surprise(x) = mean over q in Q(x) of mean over t in c of KL( P_theta0(. | x, q, c_<t) || P_theta_n(. | q, c_<t) )

in nats a token, where theta_0 writes the questions Q(x) about x and answers them, c, with x in its prompt: the update's
own objective before its first step, on a few questions. It is Bayesian surprise (Itti and Baldi, "Bayesian surprise
attracts human attention", NIPS 2005: the KL between beliefs after and before) with the prompt as the observation.
"""

from collections.abc import Sequence
from typing import Final

from transformers import PreTrainedModel

from updater.generation import generate_texts
from updater.language_model import LanguageModel
from updater.sequences import TokenizedSentence
from updater.targets import compute_targets, sentence_kl

NUM_QUESTIONS: Final = 3


def surprises(
    base: LanguageModel,
    model: PreTrainedModel,
    texts: Sequence[str],
    *,
    seed: int,
    kept_tokens: int,
    num_questions: int = NUM_QUESTIONS,
) -> list[float]:
    """The surprise of every text to the model, in nats a token.

    0 where theta_0 finds nothing to ask that the text answers: what cannot be read cannot be learned either.

    Args:
        base: theta_0, which asks and answers.
        model: the version that is or is not surprised.
        texts: experiences, as they may be learned.
        seed: of the questions.
        kept_tokens: teacher tokens compared at each position.
        num_questions: asked about each text.

    Raises:
        OutOfMemory: not even one question fits into memory.
    """
    dialogue = base.dialogue
    asked = [(row, text) for row, text in enumerate(texts) for _ in range(num_questions)]
    requests = [dialogue.prompt_ids(dialogue.style.write_question, [text]) for _, text in asked]
    questions = generate_texts(base.model, dialogue, requests, temperature=1.0, seed=seed)
    contexts = [dialogue.prompt_ids(question, [text]) for question, (_, text) in zip(questions, asked, strict=True)]
    answers = generate_texts(base.model, dialogue, contexts)
    answered = [
        index for index, (question, answer) in enumerate(zip(questions, answers, strict=True))
        if question and answer and not dialogue.says_unknown(answer)
    ]  # fmt: skip
    sentences = [
        TokenizedSentence(tuple(dialogue.prompt_ids(questions[index])), tuple(dialogue.completion_ids(answers[index])))
        for index in answered
    ]
    pad = dialogue.pad_token_id
    chosen = [contexts[index] for index in answered]
    targets = compute_targets(base.model, sentences, chosen, k=kept_tokens, pad_token_id=pad)
    found: list[list[float]] = [[] for _ in texts]
    for index, kl_nats in zip(answered, sentence_kl(model, targets, pad), strict=True):
        found[asked[index][0]].append(kl_nats)
    return [sum(kls) / len(kls) if kls else 0.0 for kls in found]
