"""What is tried after a refusal: safer settings by reason, parts of a batch, and the report of it all."""

import pytest

from updater.attempts import Tally, Tried, parts, safer_settings
from updater.report import Attempt, Refusal, RefusalKind
from updater.settings import RetrySettings, UpdateSettings

ASKED = UpdateSettings(
    learning_rate=1e-2, num_steps=50, batch_replay=18, batch_anchors=6, replay_weight=2.0, anchor_weight=1.0,
    near_miss_share=0.5, replay_near_miss_share=0.6, layer_weight=5.0, least_passes=3.0,
)  # fmt: skip
LONGER = {"num_steps": 100, "least_passes": 6.0}
MORE_NEAR_MISSES = {"near_miss_share": 0.75, "replay_near_miss_share": 0.8}
MORE_ANCHORS = LONGER | {"learning_rate": 5e-3, "batch_anchors": 12, "anchor_weight": 2.0, "layer_weight": 10.0}
NOT_FINITE, DIVERGED = RefusalKind.NOT_FINITE, RefusalKind.DIVERGED


def refusals(*kinds: RefusalKind) -> tuple[Refusal, ...]:
    return tuple(Refusal(kind, f"because of {kind}") for kind in kinds)


def changed(*kinds: RefusalKind) -> dict[str, float]:
    safer = safer_settings(ASKED, refusals(*kinds))
    assert safer is not None and safer.retry.num_retries == 0
    names = UpdateSettings.model_fields.keys() - {"retry"}
    return {name: getattr(safer, name) for name in names if getattr(safer, name) != getattr(ASKED, name)}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (NOT_FINITE, {"learning_rate": 1e-3}),
        (DIVERGED, {"learning_rate": 1e-3}),
        (RefusalKind.EFFICACY, LONGER),
        (RefusalKind.FALSE_RECALL, LONGER | MORE_NEAR_MISSES),
        (RefusalKind.RETENTION, LONGER | {"learning_rate": 5e-3, "batch_replay": 36, "replay_weight": 4.0}),
        (RefusalKind.READING, MORE_ANCHORS),
        (RefusalKind.DRIFT, MORE_ANCHORS),
    ],
)
def test_each_reason_has_its_answer(kind: RefusalKind, expected: dict[str, float]) -> None:
    assert changed(kind) == expected


def test_of_answers_to_several_reasons_the_safer_one_counts() -> None:
    both = changed(RefusalKind.DRIFT, RefusalKind.FALSE_RECALL)
    assert both == changed(RefusalKind.DRIFT) | MORE_NEAR_MISSES
    assert changed(RefusalKind.FALSE_RECALL, RefusalKind.DRIFT) == both


def test_what_follows_from_steps_that_were_far_too_large_is_not_answered_beside_it() -> None:
    assert changed(RefusalKind.DRIFT, DIVERGED, RefusalKind.RETENTION) == {"learning_rate": 1e-3}


def test_retried_settings_are_settings_that_a_user_could_have_chosen() -> None:
    safer = safer_settings(ASKED, refusals(*(kind for kind in RefusalKind if kind.value in ("drift", "false recall"))))
    assert safer is not None
    assert UpdateSettings.model_validate(safer.model_dump(), strict=True) == safer


def test_what_was_switched_off_is_switched_on_by_the_reason_that_calls_for_it() -> None:
    bare = ASKED.model_copy(update={"anchor_weight": 0.0, "replay_weight": 0.0, "batch_replay": 0})
    drifted, forgot = (safer_settings(bare, refusals(kind)) for kind in (RefusalKind.DRIFT, RefusalKind.RETENTION))
    assert drifted is not None and drifted.anchor_weight == 1.0
    assert forgot is not None and forgot.replay_weight == 1.0 and forgot.batch_replay == bare.batch_about


@pytest.mark.parametrize("kind", [RefusalKind.MATERIAL, RefusalKind.COLLAPSE, RefusalKind.UNMEASURED])
def test_what_no_setting_answers_is_not_tried_again(kind: RefusalKind) -> None:
    assert safer_settings(ASKED, refusals(kind)) is None
    assert safer_settings(ASKED, refusals(kind, DIVERGED)) is None


def test_every_reason_is_either_answered_or_known_to_have_no_answer() -> None:
    unanswered = {kind for kind in RefusalKind if safer_settings(ASKED, refusals(kind)) is None}
    assert unanswered == {RefusalKind.MATERIAL, RefusalKind.COLLAPSE, RefusalKind.UNMEASURED}


def test_there_is_one_retry_at_most_and_none_without_a_refusal() -> None:
    assert safer_settings(ASKED, ()) is None
    safer = safer_settings(ASKED, refusals(DIVERGED))
    assert safer is not None and safer_settings(safer, refusals(DIVERGED)) is None
    never = ASKED.model_copy(update={"retry": RetrySettings(num_retries=0)})
    assert safer_settings(never, refusals(DIVERGED)) is None


@pytest.mark.parametrize(
    ("ids", "suspects", "expected"),
    [
        ((1, 2, 3, 4, 5), (), [(1, 2), (3, 4, 5)]),
        ((1, 2, 3, 4), (2,), [(1, 3, 4), (2,)]),
        ((1, 2, 3), (3, 1), [(2,), (1,), (3,)]),
        ((1, 2), (1, 2), [(1,), (2,)]),
    ],
)
def test_suspects_stand_alone_and_others_in_halves(
    ids: tuple[int, ...], suspects: tuple[int, ...], expected: list[tuple[int, ...]]
) -> None:
    assert parts(ids, frozenset(suspects)) == expected


def attempt(*kinds: RefusalKind, **fields: object) -> Attempt:
    return Attempt(**{"batch_id": 1, "experience_ids": (1, 2), "refusals": refusals(*kinds), **fields})


def test_the_reason_of_a_batch_tells_every_attempt_and_what_it_changed() -> None:
    retried = attempt(RefusalKind.DRIFT, is_retry=True, changed={"learning_rate": 0.001})
    assert Tried((attempt(DIVERGED), retried), ASKED).reason == (
        "attempt 1: because of diverged | attempt 2 (learning_rate 0.001): because of drift"
    )
    assert Tried((attempt(DIVERGED),), ASKED).reason == "because of diverged"


def test_a_report_shows_the_last_attempt_that_was_admitted_and_keeps_all() -> None:
    tally = Tally(parent=3, num_experiences=4)
    tally.attempts += [
        attempt(DIVERGED, candidate=4, seconds=1.0),
        attempt(candidate=5, seconds=2.0, metrics={"efficacy": 0.9, "kl_nats": 0.1, "kl_before_nats": 2.0}),
        attempt(RefusalKind.DRIFT, candidate=6, seconds=4.0),
    ]
    tally.give_up("drifted", num_refused=1)
    report = tally.report()
    assert (report.admitted, report.version, report.parent, report.num_refused) == (True, 5, 3, 1)
    assert (report.efficacy, report.kl_before_nats, report.kl_after_nats, report.seconds) == (0.9, 2.0, 0.1, 7.0)
    assert report.reason == "drifted" and len(report.attempts) == 3 and not report.leaves_all_waiting


def test_a_report_without_an_admitted_attempt_names_no_version() -> None:
    tally = Tally(parent=0, num_experiences=2)
    tally.attempts.append(attempt(RefusalKind.COLLAPSE))
    tally.give_up("the teacher has collapsed", num_refused=0)
    report = tally.report()
    assert (report.admitted, report.version, report.leaves_all_waiting) == (False, None, True)
    assert Tried(tuple(tally.attempts), ASKED).is_the_teachers_fault


def test_a_report_survives_its_way_through_json() -> None:
    tally = Tally(parent=0, num_experiences=2, attempts=[attempt(DIVERGED, metrics={"kl_nats": 3.5})])
    report = tally.report()
    assert type(report).model_validate_json(report.model_dump_json()) == report
