"""Prompts that begin alike: which are read together, and that every one of them is read."""

import random

import pytest

from updater.prefixes import PASS_TOKENS, PrefixGroup, num_common, prefix_groups

SYSTEM, LONG, OTHER = tuple(range(30)), tuple(range(100, 600)), tuple(range(600, 1100))


def about(context: tuple[int, ...], count: int, *, length: int = 20) -> list[tuple[int, ...]]:
    """Prompts of one experience behind a common instruction, each with words of its own."""
    return [SYSTEM + context + tuple(2000 + 37 * number + place for place in range(length)) for number in range(count)]


def tokens_read(prompts: list[tuple[int, ...]], groups: list[PrefixGroup]) -> int:
    return sum(
        group.num_shared + len(group.rows) * (max(len(prompts[row]) for row in group.rows) - group.num_shared)
        for group in groups
    )


def cost(prompts: list[tuple[int, ...]], groups: list[PrefixGroup]) -> int:
    return tokens_read(prompts, groups) + PASS_TOKENS * sum(2 if group.num_shared else 1 for group in groups)


@pytest.mark.parametrize(
    ("one", "other", "expected"), [((), (1,), 0), ((1, 2), (1, 2, 3), 2), ((1, 2, 3), (1, 5, 3), 1), ((4,), (4,), 1)]
)
def test_what_two_prompts_begin_with_is_counted(one: tuple[int, ...], other: tuple[int, ...], expected: int) -> None:
    assert num_common(one, other) == expected


def test_prompts_of_two_experiences_share_each_its_own_although_all_begin_with_one_instruction() -> None:
    prompts = about(LONG, 8) + about(OTHER, 8)
    random.Random(0).shuffle(prompts)
    groups = prefix_groups(prompts, most=64, sharing=True)
    assert [group.num_shared for group in groups] == [530, 530]
    for group in groups:
        assert len({prompts[row][:530] for row in group.rows}) == 1
    assert tokens_read(prompts, groups) == 2 * 530 + 16 * 20


def test_an_experience_with_a_single_sentence_costs_the_others_nothing() -> None:
    prompts = about(tuple(range(40, 90)), 1) + about(LONG, 8) + about(OTHER, 8)
    groups = prefix_groups(prompts, most=64, sharing=True)
    assert sorted(group.num_shared for group in groups)[-2:] == [530, 530]


def test_short_prompts_are_read_in_full_where_sharing_would_cost_more_than_it_saves() -> None:
    prompts = [(1, 2, 3, place) for place in range(PASS_TOKENS // 4)]
    assert [group.num_shared for group in prefix_groups(prompts, most=64, sharing=True)] == [0]


def test_the_last_token_is_never_shared_even_of_one_prompt_said_many_times() -> None:
    groups = prefix_groups([LONG] * 10, most=64, sharing=True)
    assert [(len(group.rows), group.num_shared) for group in groups] == [(10, len(LONG) - 1)]


def test_a_prompt_that_is_the_beginning_of_another_keeps_its_last_token() -> None:
    groups = prefix_groups([LONG, *[(*LONG, 7, place) for place in range(9)]], most=64, sharing=True)
    assert all(group.num_shared < len(LONG) for group in groups if 0 in group.rows)


@pytest.mark.parametrize("sharing", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_every_prompt_is_in_one_group_whose_beginning_is_its_own(seed: int, sharing: bool) -> None:
    rng = random.Random(seed)
    some = [tuple(rng.choice((1, 2)) for _ in range(rng.randrange(1, 6))) for _ in range(rng.randrange(60))]
    prompts = [one * rng.choice((1, 40)) for one in some]
    groups = prefix_groups(prompts, most=16, sharing=sharing)
    assert sorted(row for group in groups for row in group.rows) == list(range(len(prompts)))
    for group in groups:
        assert 1 <= len(group.rows) <= 16
        assert len({prompts[row][: group.num_shared] for row in group.rows}) == 1
        assert all(group.num_shared < len(prompts[row]) for row in group.rows)
    if sharing:
        in_order = sorted(range(len(prompts)), key=lambda row: prompts[row])
        runs = [PrefixGroup(tuple(in_order[start : start + 16]), 0) for start in range(0, len(prompts), 16)]
        assert cost(prompts, groups) <= cost(prompts, runs)
