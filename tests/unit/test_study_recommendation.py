"""Conversational recommendation: both formats, cases, and rankings scored by hand."""

import json
import math
from pathlib import Path

import pytest

from agent.study.recommendation import (
    Case,
    RecommendationFormat,
    bare_title,
    cases_of,
    kept_cases,
    ranking_scores,
    read_dialogues,
)
from memory_log.errors import BadInput

REDIAL = {
    "conversationId": "391", "initiatorWorkerId": 1, "respondentWorkerId": 2,
    "movieMentions": {"11": "Alien (1979)", "12": "The Thing (1982)", "13": None},
    "messages": [
        {"senderWorkerId": 1, "text": "Something like @11?"},
        {"senderWorkerId": 2, "text": "Try @12, or @11 again, or @99."},
    ],
}  # fmt: skip
INSPIRED = (
    "dialog_id\tutt_id\tspeaker\tturn_id\ttext\tmovies\n"
    "a.pkl\t1\tSEEKER\t1\tI saw QUOTATION_MARKAlienQUOTATION_MARK.\tAlien (1979)\n"
    "a.pkl\t2\tRECOMMENDER\t1\tThen see these.\tThe Thing (1982); Aliens (1986)\n"
    "b.pkl\t1\tRECOMMENDER\t1\tHello.\t\n"
)


def case(right: str, *seen: str) -> Case:
    return Case(dialogue="x", said="", right=right, seen=seen)


def test_redials_numbers_become_titles_and_each_named_title_is_a_case(tmp_path: Path) -> None:
    path = tmp_path / "redial.jsonl"
    path.write_text(json.dumps(REDIAL) + "\n" + json.dumps({**REDIAL, "movieMentions": []}) + "\n")
    first, without_titles = read_dialogues(path, "redial")
    said = ["Seeker: Something like Alien (1979)?", "Recommender: Try The Thing (1982), or Alien (1979) again, or @99."]
    assert first.text == "\n".join(said)
    found = list(cases_of(first))
    assert [(one.right, one.seen) for one in found] == [
        ("The Thing (1982)", ("Alien (1979)",)), ("Alien (1979)", ("Alien (1979)",)),
    ]  # fmt: skip
    assert found[0].said == said[0] and not list(cases_of(without_titles))


def test_inspireds_rows_of_a_dialogue_belong_together(tmp_path: Path) -> None:
    path = tmp_path / "dev.tsv"
    path.write_text(INSPIRED)
    first, second = read_dialogues(path, "inspired")
    assert first.turns[0].text == 'I saw "Alien".' and first.turns[1].titles == ("The Thing (1982)", "Aliens (1986)")
    assert len(list(cases_of(first))) == 2 and not list(cases_of(second))


@pytest.mark.parametrize(
    ("form", "content", "said"),
    [
        ("redial", '{"messages": []}\n', "line 1 is no dialogue of ReDial"),
        ("redial", "oops\n", "line 1"),
        ("redial", "", "no dialogue"),
        ("inspired", "a\tb\n1\t2\n", "no column dialog_id"),
        ("inspired", INSPIRED + "c\t1\tBOT\t1\tHi\t\n", "line 5: the speaker is 'BOT'"),
    ],
)
def test_what_is_no_dialogue_is_named(form: RecommendationFormat, content: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text(content)
    with pytest.raises(BadInput, match=said):
        read_dialogues(path, form)


def test_titles_are_the_same_without_year_case_and_articles() -> None:
    assert bare_title("Shawshank Redemption, The (1994)") == bare_title("the shawshank redemption")
    assert bare_title("Alien (1979)") != bare_title("Aliens (1986)")


def test_a_ranking_is_scored_by_the_place_of_the_right_title() -> None:
    ranking = ["Jaws (1975)", "Alien", "alien (1979)", "The Thing", "Heat"]
    found = ranking_scores(ranking, case("Thing, The (1982)"), drop_seen=False)
    # Alien counts once, so the right one is third.
    assert (found["recall@1"], found["recall@5"], found["mrr@5"]) == (0.0, 1.0, pytest.approx(1 / 3))
    assert found["ndcg@5"] == found["ndcg@10"] == pytest.approx(1 / math.log2(4))
    assert found["mrr@1"] == found["ndcg@1"] == 0.0


def test_titles_that_were_named_before_can_be_taken_out_of_a_ranking() -> None:
    seen = case("Heat", "Jaws (1975)")
    assert ranking_scores(["Jaws", "Heat"], seen, drop_seen=True)["recall@1"] == 1.0
    assert ranking_scores(["Jaws", "Heat"], seen, drop_seen=False)["recall@1"] == 0.0


def test_cases_that_cannot_be_found_or_were_named_before_can_be_left_out() -> None:
    cases = [case("Heat", "Jaws"), case("Jaws (1975)", "Jaws"), case("Unknown Film")]
    catalogue = ["Heat (1995)", "Jaws (1975)"]

    def kept(*, drop_seen: bool, drop_unlisted: bool) -> list[str]:
        found = kept_cases(cases, catalogue, drop_seen=drop_seen, drop_unlisted=drop_unlisted)
        return [one.right for one in found]

    assert kept(drop_seen=True, drop_unlisted=True) == ["Heat"]
    assert kept(drop_seen=True, drop_unlisted=False) == ["Heat", "Unknown Film"]
    assert len(kept(drop_seen=False, drop_unlisted=False)) == 3
