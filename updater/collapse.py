"""Whether the teacher has collapsed: notes in its prompt no longer change what it answers.

Knows: asking a teacher the same with and without notes. Refuses to know: experiences, training, other weights.

A teacher that answers `unknown` with the experience in its prompt as well as without agrees with itself: the loss of an
update is zero though nothing is known. That is no success, and no experience is to blame.
"""

from collections.abc import Sequence
from typing import Final

from updater.anchors import Anchor
from updater.gate import sentence_fits
from updater.language_model import LanguageModel
from updater.report import COLLAPSE
from updater.sequences import TokenizedSentence
from updater.targets import compute_targets

HIGH_FLOOR: Final = 0.5


def collapse(
    teacher: LanguageModel, anchors: Sequence[Anchor], *, min_gain_nats: float, kept_tokens: int
) -> str | None:
    """Say so when the teacher answers with notes as it does without, although without them it does not know.

    Args:
        teacher: asked with notes and without.
        anchors: unrelated to the batch; those with notes that say something are asked.
        min_gain_nats: the least mean context gain, in nats a token, of a teacher that reads.
        kept_tokens: teacher tokens compared at each position.

    Returns:
        None where the teacher reads, where it knows the answers anyhow, or where no anchor has notes.
    """
    dialogue = teacher.dialogue
    asked = [one for one in anchors if one.notes and not dialogue.says_unknown(one.completion)]
    if not asked:
        return None
    without = [
        TokenizedSentence(tuple(dialogue.prompt_ids(one.prompt)), tuple(dialogue.completion_ids(one.completion)))
        for one in asked
    ]
    contexts = [dialogue.prompt_ids(one.prompt, one.notes) for one in asked]
    pad = dialogue.pad_token_id
    targets = compute_targets(teacher.model, without, contexts, k=kept_tokens, pad_token_id=pad)
    fits = sentence_fits(teacher.model, targets, pad)
    gain_nats = sum(fit.kl_nats for fit in fits) / len(fits)
    floor = sum(fit.is_exact for fit in fits) / len(fits)
    if gain_nats >= min_gain_nats or floor >= HIGH_FLOOR:
        return None
    return COLLAPSE.format(gain=gain_nats, floor=floor)
