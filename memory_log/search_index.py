"""The index of the words of every text: FTS5 in SQLite, GIN in PostgreSQL. Knows statements of SQL only.

What an index finds is looked at again in the column `words`, so that both databases give the same.
"""

SEARCH_SQLITE = (
    # Words are split at blanks and ASCII signs only, and folded already: what Python calls a word stays one.
    """CREATE VIRTUAL TABLE experience_words USING fts5(
        words, content='experiences', content_rowid='id', tokenize="ascii tokenchars '_'", detail=none, columnsize=0
    )""",
    """CREATE TRIGGER experience_words_insert AFTER INSERT ON experiences BEGIN
        INSERT INTO experience_words(rowid, words) VALUES (new.id, new.words);
    END""",
    """CREATE TRIGGER experience_words_update AFTER UPDATE OF words ON experiences BEGIN
        INSERT INTO experience_words(experience_words, rowid, words) VALUES ('delete', old.id, old.words);
        INSERT INTO experience_words(rowid, words) VALUES (new.id, new.words);
    END""",
    """CREATE TRIGGER experience_words_delete AFTER DELETE ON experiences BEGIN
        INSERT INTO experience_words(experience_words, rowid, words) VALUES ('delete', old.id, old.words);
    END""",
)
SEARCH_POSTGRESQL = (
    """CREATE INDEX experience_words ON experiences
        USING gin (array_to_tsvector(string_to_array(btrim(words), ' ')))""",
)
