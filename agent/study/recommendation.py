"""Conversational recommendation: dialogues in the formats of ReDial and INSPIRED, cases, and how a ranking is scored.

Knows: both formats, which titles a recommender names when, and Recall@k, NDCG@k and MRR@k. Refuses to know: models.

Each title that the recommender names is a case of its own, as ReDial's usual evaluators count (Wang et al. 2022,
UniCRS): for one right title at place r of a ranking, from 1, recall@k is 1, ndcg@k is 1 / log2(r + 1) and mrr@k is
1 / r where r <= k, and all are 0 beyond.
"""

import csv
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from agent.study.lines import lines_of
from agent.study.scores import normalised
from memory_log.errors import BadInput
from memory_log.fields import Record

RecommendationFormat = Literal["redial", "inspired"]
KS: Final = (1, 5, 10)
_MENTION: Final = re.compile(r"@(\d+)")
_YEAR: Final = re.compile(r"\s*\(\d{4}\)\s*$")
_INSPIRED_COLUMNS: Final = ("dialog_id", "speaker", "text", "movies")


class Turn(Record):
    """What one of the two said, with the titles in it.

    Example: Turn(is_recommender=True, text="Try Alien (1979).", titles=("Alien (1979)",))
    """

    is_recommender: bool
    text: str
    titles: tuple[str, ...] = ()


class Dialogue(Record):
    """One conversation.

    Example: Dialogue(name="391", turns=(Turn(is_recommender=False, text="Something scary?"),))
    """

    name: str
    turns: tuple[Turn, ...]

    @property
    def text(self) -> str:
        """The whole of it, a line for each turn."""
        return transcript(self.turns)


class Case(Record):
    """A title that a recommender named, with what had been said and named before.

    Example: Case(dialogue="391", said="Seeker: Something scary?", right="Alien (1979)", seen=())
    """

    dialogue: str
    said: str
    right: str
    seen: tuple[str, ...]


def transcript(turns: Sequence[Turn]) -> str:
    """A line for each turn, with who speaks."""
    return "\n".join(f"{'Recommender' if turn.is_recommender else 'Seeker'}: {turn.text}" for turn in turns)


def bare_title(title: str) -> str:
    """A title as titles are compared: without year, case, punctuation and articles.

    Example: bare_title("Shawshank Redemption, The (1994)") == bare_title("the shawshank redemption")
    """
    return " ".join(normalised(_YEAR.sub("", title)))


def cases_of(dialogue: Dialogue) -> Iterator[Case]:
    """Every title that the recommender names, in order; a title that is named again is a case again."""
    seen: list[str] = []
    for place, turn in enumerate(dialogue.turns):
        if turn.is_recommender:
            for title in dict.fromkeys(turn.titles):
                yield Case(
                    dialogue=dialogue.name, said=transcript(dialogue.turns[:place]), right=title, seen=tuple(seen)
                )
        seen += turn.titles


def kept_cases(cases: Sequence[Case], catalogue: Sequence[str], *, drop_seen: bool, drop_unlisted: bool) -> list[Case]:
    """The cases that count.

    Args:
        cases: all.
        catalogue: the titles that can be ranked.
        drop_seen: leaves out what had been named before in the dialogue, as studies of language models do, since
            repeating it is no recommendation.
        drop_unlisted: leaves out what is not in the catalogue; such a case counts as missed otherwise.
    """
    listed = {bare_title(title) for title in catalogue}
    return [
        case
        for case in cases
        if not (drop_unlisted and bare_title(case.right) not in listed)
        and not (drop_seen and bare_title(case.right) in map(bare_title, case.seen))
    ]


def ranking_scores(ranking: Sequence[str], case: Case, *, drop_seen: bool, ks: Sequence[int] = KS) -> dict[str, float]:
    """Recall, NDCG and MRR of one ranking at each k; see the module.

    Args:
        ranking: titles, the best first; of equal ones the first counts.
        case: what is right.
        drop_seen: whether titles named before in the dialogue are taken out of the ranking first.
        ks: places up to which is looked.
    """
    seen = set(map(bare_title, case.seen)) if drop_seen else set[str]()
    bare = [title for title in dict.fromkeys(map(bare_title, ranking)) if title not in seen]
    right = bare_title(case.right)
    place = bare.index(right) + 1 if right in bare else math.inf
    found: dict[str, float] = {}
    for k in ks:
        is_found = place <= k
        found[f"recall@{k}"] = float(is_found)
        found[f"ndcg@{k}"] = 1 / math.log2(place + 1) if is_found else 0.0
        found[f"mrr@{k}"] = 1 / place if is_found else 0.0
    return found


# ------------------------------------------------------------------------------------------------------------- files


def read_dialogues(path: Path, form: RecommendationFormat) -> list[Dialogue]:
    """Every dialogue of a file, in its order.

    Raises:
        BadInput: the file cannot be read, or a line is something else; with its number.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"{path} cannot be read ({exc}); give a file of UTF-8 text") from exc
    dialogues = list(_redial(path, text) if form == "redial" else _inspired(path, text))
    if not dialogues:
        raise BadInput(f"{path} holds no dialogue")
    return dialogues


def _redial(path: Path, text: str) -> Iterator[Dialogue]:
    """A JSON object a line; `@123` in a message is the title that `movieMentions` has under 123."""
    for number, line in enumerate(lines_of(text), start=1):
        if not line.strip():
            continue
        try:
            found = json.loads(line)
            titles = {str(key): str(title) for key, title in dict(found["movieMentions"] or {}).items() if title}
            recommender = found["respondentWorkerId"]
            turns = tuple(
                _redial_turn(message, titles, is_recommender=message["senderWorkerId"] == recommender)
                for message in found["messages"]
            )
            yield Dialogue(name=str(found["conversationId"]), turns=turns)
        except (ValueError, KeyError, TypeError) as exc:
            raise BadInput(f"{path} line {number} is no dialogue of ReDial ({type(exc).__name__}: {exc})") from exc


def _redial_turn(message: Mapping[str, Any], titles: Mapping[str, str], *, is_recommender: bool) -> Turn:
    mentioned = [titles[key] for key in _MENTION.findall(message["text"]) if key in titles]
    text = _MENTION.sub(lambda match: titles.get(match[1], match[0]), message["text"])
    return Turn(is_recommender=is_recommender, text=text, titles=tuple(mentioned))


def _inspired(path: Path, text: str) -> Iterator[Dialogue]:
    """Tab-separated, a row for each utterance; `movies` holds its titles, parted by semicolons."""
    rows = csv.DictReader(lines_of(text), delimiter="\t", quoting=csv.QUOTE_NONE)
    missing = [name for name in _INSPIRED_COLUMNS if name not in (rows.fieldnames or ())]
    if missing:
        raise BadInput(f"{path} line 1: no column {', '.join(missing)}; needed are INSPIRED's tab-separated columns")
    turns: dict[str, list[Turn]] = {}
    for number, row in enumerate(rows, start=2):
        speaker = row["speaker"]
        if speaker not in ("RECOMMENDER", "SEEKER") or row["movies"] is None:
            raise BadInput(f"{path} line {number}: the speaker is {speaker!r}, needed RECOMMENDER or SEEKER and movies")
        titles = tuple(title.strip() for title in row["movies"].split(";") if title.strip())
        said = row["text"].replace("QUOTATION_MARK", '"')
        turns.setdefault(row["dialog_id"], []).append(
            Turn(is_recommender=speaker == "RECOMMENDER", text=said, titles=titles)
        )
    for name, one in turns.items():
        yield Dialogue(name=name, turns=tuple(one))
