"""Finding experiences by words: what the index says, looked at again in the words themselves. Knows no records.

The indexes of the two databases are queried word by word, which both understand alike; phrases and the ends of words
are then compared in the column `words`.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Connection, Select, and_, cast, column, func, literal_column, table, text
from sqlalchemy.dialects.postgresql import TSQUERY

from memory_log import tables
from memory_log.errors import BadInput
from memory_log.words import words_of

experiences = tables.experiences

MAX_TERMS = 32

_INDEX = table("experience_words", column("rowid"))
_QUOTED_OR_WORD = re.compile(r'"([^"]*)"|(\S+)')


class Term(NamedTuple):
    """Words that follow each other; `is_prefix` where the last one may go on.

    Example: Term(("red", "mug"), is_prefix=False)
    """

    words: tuple[str, ...]
    is_prefix: bool


def phrase(words: str) -> Term:
    """The words as one phrase."""
    return Term(tuple(words_of(words)), is_prefix=False)


def parse(query: str) -> list[Term]:
    """What a person types: words, "quoted phrases", and beginnings of words with a star. Signs are blanks.

    Raises:
        BadInput: there is no word in it, or there are too many.

    Example: parse('mug "kitchen drawer" gara*')
    """
    terms: list[Term] = []
    for quoted, word in _QUOTED_OR_WORD.findall(query):
        words = tuple(words_of(quoted or word))
        if words:
            terms.append(Term(words, is_prefix=not quoted and word.endswith("*")))
    if not 0 < len(terms) <= MAX_TERMS:
        raise BadInput(
            f"got {len(terms)} terms to search for, needs 1 to {MAX_TERMS}; such as: mug \"kitchen drawer\" gara*"
        )
    return terms


def newest_first(statement: Select[Any], dialect: str, terms: Sequence[Term], before_id: int) -> Select[Any]:
    """The statement narrowed to experiences that have all the terms, the newest first."""
    exact = and_(*(_has(term) for term in terms))
    if dialect == "sqlite":
        # FTS5 gives its rows by descending id without sorting them.
        return (
            statement.join_from(_INDEX, experiences, experiences.c.id == _INDEX.c.rowid)
            .where(literal_column("experience_words").op("MATCH")(_fts5(terms)), _INDEX.c.rowid < before_id, exact)
            .order_by(_INDEX.c.rowid.desc())
        )
    index = func.array_to_tsvector(func.string_to_array(func.btrim(experiences.c.words), literal_column("' '")))
    candidates = index.op("@@")(cast(_tsquery(terms), TSQUERY))
    return statement.where(candidates, experiences.c.id < before_id, exact).order_by(experiences.c.id.desc())


def _has(term: Term) -> ColumnElement[bool]:
    words = f" {' '.join(term.words)}{'' if term.is_prefix else ' '}"
    return experiences.c.words.contains(words, autoescape=True)


def _fts5(terms: Sequence[Term]) -> str:
    # Words hold letters, digits and underscores only, so that nothing in them can end a quotation.
    return " AND ".join(f'"{word}"{"*" if is_open else ""}' for word, is_open in _words(terms))


def _tsquery(terms: Sequence[Term]) -> str:
    return " & ".join(f"'{word}'{':*' if is_open else ''}" for word, is_open in _words(terms))


def _words(terms: Sequence[Term]) -> list[tuple[str, bool]]:
    return [
        (word, term.is_prefix and index == len(term.words) - 1)
        for term in terms
        for index, word in enumerate(term.words)
    ]


def purge(connection: Connection) -> None:
    """Take out of SQLite's index what its rows no longer hold: it keeps deleted words until parts of it are merged."""
    if connection.dialect.name == "sqlite":
        connection.execute(text("INSERT INTO experience_words(experience_words) VALUES ('optimize')"))
