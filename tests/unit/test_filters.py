"""Filters: what redaction takes and leaves, whom trust lets through, and that they travel between processes."""

import pickle

import pytest

from memory_log.errors import FilterFailed
from memory_log.records import Experience, Fact
from tests.model_fixtures import experience
from updater.filters import Filtered, allowed, chain, redact_personal, trusted_agents
from updater.redaction import redacted

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mira writes from mira.b+x@mail.example.org.", "Mira writes from [e-mail]."),
        ("Ask <anna@example.co.uk>, or jörg@exämple.de!", "Ask <[e-mail]>, or [e-mail]!"),
        ("Call +49 30 1234567 today.", "Call [phone] today."),
        ("Call 030/1234567, (555) 123-4567 or 555-1234.", "Call [phone], [phone] or [phone]."),
        ("Call (555) 123-4567 (555) 765-4321.", "Call [phone]."),
        ("Call 0049301234567 or 15551234567.", "Call [phone] or [phone]."),
        ("Card 4111 1111 1111 1111 123, 4111111111111111.", "Card [card], [card]."),
        ("Card 3782-822463-10005.", "Card [card]."),
        ("Pay DE89 3704 0044 0532 0130 00 AND go.", "Pay [IBAN] AND go."),
        ("Pay gb82west12345698765432 now.", "Pay [IBAN] now."),
        ("The box at 192.168.10.25 and 10.0.0.1.", "The box at [IP] and [IP]."),
        ("Ping fe80::1ff:fe23:4567:890a or ::1.", "Ping [IP] or [IP]."),
        ("The key is sk-proj-abcdefGHIJKL0123456789.", "The key is [secret]."),
        ("AKIAIOSFODNN7EXAMPLE and ghp_abcdefghijklmnopqrstuv0123456789", "[secret] and [secret]"),
        (f"Bearer {JWT} ok", "Bearer [secret] ok"),
        ("password: hunter2, API_KEY=xyz", "password: [secret] API_KEY=[secret]"),
        ("postgresql://me:secret@host/log", "postgresql://[secret]@host/log"),
        ("deadbeefdeadbeefdeadbeefdeadbee1 is it", "[secret] is it"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- end", "[secret] end"),
    ],
)
def test_what_looks_personal_or_secret_is_replaced(text: str, expected: str) -> None:
    assert redacted(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "I put the red mug in the kitchen drawer.",
        "Mira's favourite drink is green tea; she is 34.",
        "On 2026-01-31 at 12:30:45, and on 01.02.2026, 31/12/1999.",
        "From 1999 to 2004 it rose by 0.12345678 to 1,000,000 or 1000000.",
        "10 20 30 40 50 are numbers, and 4111 1111 1111 1112 fails its check.",
        "DE00370400440532013000 fails its check.",
        "std::vector and a: b :: c, version 1.2.3",
        "@mira said so @ home; the token is on the table.",
        "internationalization-of-everything is a long word",
    ],
)
def test_what_is_neither_stays_as_it_is(text: str) -> None:
    assert redacted(text) == text


@pytest.mark.parametrize(
    "text",
    ["a" * 16384, "1" * 16384, "1 " * 8192, "0.1" * 5461, "a1A" * 5461, "a@" * 8192, "a." * 8192, "f:" * 8192,
     "DE89 " * 3276, "-----BEGIN A PRIVATE KEY-----" * 500, "+" * 16384, "eyJ-----" * 2048, "sk-" * 5461],
)  # fmt: skip
def test_no_text_sends_a_pattern_into_exponential_time(text: str) -> None:
    assert redacted(text)  # it would not come back within a lifetime


def test_redaction_reaches_every_part_of_every_fact() -> None:
    found = redact_personal(
        experience(1, "Write to mira@example.org.", ("mira@example.org", "phone +49 30 1234567", "10.0.0.1 " * 28))
    )
    assert found.text == "Write to [e-mail]." and found.refused is None
    (fact,) = found.facts
    assert (fact.subject, fact.relation) == ("[e-mail]", "phone [phone]") and "10.0" not in fact.value


def test_redaction_that_lengthens_a_name_cuts_it_to_its_limit() -> None:
    (fact,) = redact_personal(experience(1, "Hello.", ("s", "r", "a@b.cc " * 36))).facts
    assert "@" not in fact.value and len(fact.value.encode()) <= 256


def test_only_trusted_agents_are_learned() -> None:
    mira = experience(1, "Hello.").model_copy(update={"agent": "mira"})
    trust = trusted_agents(["mira"])
    assert trust(mira).text == "Hello."
    assert trust(experience(2, "Hello.")).refused == "agent 'agent' is not trusted"


def test_a_chain_passes_on_what_is_left_and_stops_at_the_first_refusal() -> None:
    seen: list[str] = []

    def look(one: Experience) -> Filtered:
        seen.append(one.text)
        return Filtered.learn(one.text, one.facts)

    both = chain(redact_personal, look, trusted_agents(["mira"]), look)
    assert both(experience(1, "Write to a@b.org.")).refused is not None
    assert seen == ["Write to [e-mail]."]
    assert chain()(experience(1, "As it is.")).text == "As it is."


def test_the_shipped_filters_travel_by_pickle() -> None:
    both = pickle.loads(pickle.dumps(chain(redact_personal, trusted_agents(["agent"]))))
    assert both(experience(1, "Write to a@b.org.")).text == "Write to [e-mail]."


def test_what_is_allowed_keeps_its_place_and_loses_what_no_filter_saw() -> None:
    told = experience(7, "Write to a@b.org.").model_copy(update={"observation": "a@b.org", "action": "a@b.org"})
    learned = allowed(told, redact_personal)
    assert isinstance(learned, Experience) and (learned.id, learned.text) == (7, "Write to [e-mail].")
    assert "a@b.org" not in learned.model_dump_json()
    assert allowed(told, None) is told
    assert allowed(told, trusted_agents([])) == "filter: agent 'agent' is not trusted"


def test_a_filter_that_raises_names_the_experience_and_does_not_quote_it() -> None:
    def broken(one: Experience) -> Filtered:
        raise ValueError(one.text)

    def forgetful(one: Experience) -> Filtered:
        return None  # type: ignore[return-value]

    def empty(one: Experience) -> Filtered:
        return Filtered.learn(" ")

    for wrong in (broken, forgetful, empty):
        with pytest.raises(FilterFailed, match="experience 7") as caught:
            allowed(experience(7, "My secret."), wrong)
        assert "My secret" not in str(caught.value)


def test_a_fact_is_what_it_was_where_nothing_is_personal() -> None:
    told = experience(1, "Hello.", ("red mug", "location", "kitchen drawer"))
    assert redact_personal(told).facts == (Fact(subject="red mug", relation="location", value="kitchen drawer"),)
