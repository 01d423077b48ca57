"""Whether statements about an experience are true, as far as the teacher can tell.

Knows: comparing what the teacher holds of a statement with and without the experience, and asking it questions about
both. Refuses to know: who made the statement, training.

Two checks, because each misses what the other sees. The log-probability of the statement's words has to rise when the
experience is in the prompt: cheap, but a short false addition to a true statement hides in the mean. And questions that
the model itself asks about the statement have to get the same answers from the experience: this finds additions, since
the experience has no answer to a question about them. After the question-answering checks of summaries (Wang, Cho and
Lewis, "Asking and Answering Questions to Evaluate the Factual Consistency of Summaries", arXiv 2004.04228).
"""

from collections import Counter
from collections.abc import Sequence
from typing import Final

import torch

from updater.generation import generate_texts
from updater.language_model import LanguageModel
from updater.memory import in_pieces
from updater.sentences import COMMON_WORDS, Sentence, tokenize, words_of
from updater.sequences import TokenizedSentence, collate, completion_logits

BATCH: Final = 64


def supported(
    base: LanguageModel,
    statements: Sequence[Sentence],
    *,
    num_questions: int,
    min_support_nats: float,
    min_agreement: float,
    seed: int,
) -> list[bool]:
    """Whether the teacher, given the experience, supports each statement.

    Args:
        base: theta_0.
        statements: their notes are what they have to follow from.
        num_questions: asked about each statement; 0 leaves that check out.
        min_support_nats: see `support_nats`.
        min_agreement: least `answer_f1` of two answers that count as the same.
        seed: of the sampled questions.
    """
    if not statements:
        return []
    rises = support_nats(base, statements)
    agrees = _answers_agree(base, statements, num_questions, min_agreement, seed)
    return [rise >= min_support_nats and agree for rise, agree in zip(rises, agrees, strict=True)]


def support_nats(base: LanguageModel, sentences: Sequence[Sentence]) -> list[float]:
    """How much likelier the experience makes each completion, in nats a token.

        mean_t  log P_theta0(c_t | x, p, c_<t) - log P_theta0(c_t | p, c_<t)

    Unlike context gain, which is a KL and never negative, this is below zero where the experience speaks against it.
    """
    without, contexts = tokenize(base, sentences)
    with_notes = [
        TokenizedSentence(tuple(context), sentence.completion_ids)
        for context, sentence in zip(contexts, without, strict=True)
    ]
    given, alone = _mean_logprobs(base, with_notes), _mean_logprobs(base, without)
    return [one - other for one, other in zip(given, alone, strict=True)]


@torch.inference_mode()
def _mean_logprobs(base: LanguageModel, sentences: Sequence[TokenizedSentence]) -> list[float]:
    def means(piece: Sequence[TokenizedSentence]) -> list[float]:
        batch = collate(piece, base.dialogue.pad_token_id, base.device)
        logprobs_BTV = torch.log_softmax(completion_logits(base.model, batch).float(), dim=-1)
        chosen_BT = logprobs_BTV.gather(-1, batch.completion_ids_BT.unsqueeze(-1)).squeeze(-1)
        sums_B = torch.where(batch.mask_BT, chosen_BT, 0.0).sum(-1)
        return list((sums_B / batch.mask_BT.sum(-1)).tolist())

    pieces = in_pieces(sentences, means, most=BATCH, model=base.model, work="checking statements")
    return [mean for _, found in pieces for mean in found]


def _answers_agree(
    base: LanguageModel, statements: Sequence[Sentence], num_questions: int, min_agreement: float, seed: int
) -> list[bool]:
    """Whether all that can be asked about a statement gets the same answer from the experience."""
    if num_questions == 0:
        return [True] * len(statements)
    dialogue = base.dialogue
    asked_about = [statement for statement in statements for _ in range(num_questions)]
    prompts = [dialogue.prompt_ids(dialogue.style.write_question, [one.completion]) for one in asked_about]
    questions = generate_texts(base.model, dialogue, prompts, temperature=1.0, seed=seed)
    contexts = [[one.completion] for one in asked_about] + [list(one.notes) for one in asked_about]
    answers = generate_texts(
        base.model,
        dialogue,
        [dialogue.prompt_ids(q, notes) for q, notes in zip([*questions, *questions], contexts, strict=True)],
    )
    num_asked, num_agreeing = Counter[int](), Counter[int]()
    for place, question in enumerate(questions):
        from_statement, from_notes = answers[place], answers[len(questions) + place]
        if not dialogue.says_unknown(from_statement):
            num_asked[place // num_questions] += 1
            agreement = 0.0 if dialogue.says_unknown(from_notes) else answer_f1(question, from_statement, from_notes)
            num_agreeing[place // num_questions] += agreement >= min_agreement
    return [0 < num_asked[place] == num_agreeing[place] for place in range(len(statements))]


def answer_f1(question: str, said: str, meant: str) -> float:
    """How much two answers to a question say the same, from 0 to 1: the F1 of their words as bags.

    What they repeat of the question does not count, nor do common words: "the mug is in the garden" and "the mug is in
    the hall" have nothing in common as answers to where the mug is.
    """
    spoken = {*words_of(question), *COMMON_WORDS}
    own, other = (Counter(word for word in words_of(answer) if word not in spoken) for answer in (said, meant))
    if not own and not other:
        return 1.0
    return 2 * (own & other).total() / (own.total() + other.total())
