"""An experience as contexts: what of it stands before a question at once.

Knows: how much of an experience fits into a model's prompt, and which of its windows says a thing. Refuses to know: who
is asked, what is learned, the log.

A context is an experience whose text is one window of the told one's. The windows of one experience are contexts in
order of time, like experiences of their own: each is asked about by itself, and what a later one says supersedes an
earlier.
"""

from collections.abc import Sequence

from memory_log.records import Experience
from updater.generation import MAX_NEW_TOKENS
from updater.language_model import LanguageModel
from updater.sentences import words_of
from updater.settings import TeacherSettings
from updater.windows import windows


def most_tokens(base: LanguageModel, settings: TeacherSettings) -> int | None:
    """The most tokens of an experience that are read at once; None where neither model nor settings name a limit.

    Two windows have to fit beside each other, because the teacher is asked with both whether the later makes the
    earlier untrue. A written question, one with exchanged words and an answer come on top.
    """
    if base.context_length is None:
        return settings.window_tokens
    alone = len(base.dialogue.prompt_ids(base.dialogue.style.write_near_miss, [""]))
    room = max(0, (base.context_length - alone - 3 * MAX_NEW_TOKENS) // 2)
    return room if settings.window_tokens is None else min(room, settings.window_tokens)


def contexts_of(base: LanguageModel, experience: Experience, settings: TeacherSettings) -> list[Experience]:
    """An experience as the contexts that it is read in: itself, or its windows in order.

    Returns:
        contexts that together hold all of it; none where a single word is longer than a window, or nothing fits beside
        a question.
    """
    most, dialogue = most_tokens(base, settings), base.dialogue
    if most is None:
        return [experience]
    if most == 0:
        return []
    alone = len(dialogue.prompt_ids(dialogue.style.write_near_miss, [""]))

    def num_tokens(text: str) -> int:
        return len(dialogue.prompt_ids(dialogue.style.write_near_miss, [text])) - alone

    found = windows(experience.text, num_tokens, most=most, overlap=settings.window_overlap)
    return [experience] if found == [experience.text] else [experience.model_copy(update={"text": w}) for w in found]


def context_about(contexts: Sequence[Experience], said: str) -> Experience:
    """The context that holds most of the words of a sentence, the latest of equals."""
    words = set(words_of(said))
    return max(
        enumerate(contexts), key=lambda context: (len(words & set(words_of(context[1].text))), context[0])
    )[1]
