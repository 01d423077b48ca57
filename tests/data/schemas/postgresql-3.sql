-- A log of schema version 3, made by commit 565b598 with `python -m tests.schema_dumps`.
CREATE TABLE batch_members (
    batch_id bigint NOT NULL,
    experience_id bigint NOT NULL
);
CREATE TABLE batches (
    id bigint NOT NULL,
    lineage text NOT NULL,
    parent_version bigint NOT NULL,
    state text NOT NULL,
    fence bigint NOT NULL,
    reason text,
    opened_at timestamp with time zone NOT NULL,
    ended_at timestamp with time zone,
    CONSTRAINT batch_state CHECK ((state = ANY (ARRAY['open'::text, 'committed'::text, 'rejected'::text, 'abandoned'::text])))
);
CREATE SEQUENCE batches_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE batches_id_seq OWNED BY batches.id;
CREATE TABLE experiences (
    id bigint NOT NULL,
    lineage text NOT NULL,
    agent text NOT NULL,
    session text NOT NULL,
    step bigint,
    "time" timestamp with time zone NOT NULL,
    appended_at timestamp with time zone NOT NULL,
    text text NOT NULL,
    words text NOT NULL,
    observation text,
    action text,
    reward double precision,
    metadata text,
    priority integer DEFAULT 0 NOT NULL,
    surprise double precision,
    key text,
    content_hash text,
    state text NOT NULL,
    batch_id bigint,
    learned_in bigint,
    reason text,
    attempts integer DEFAULT 0 NOT NULL,
    not_before timestamp with time zone,
    CONSTRAINT experience_state CHECK ((state = ANY (ARRAY['spilled'::text, 'pending'::text, 'leased'::text, 'learned'::text, 'refused'::text, 'dead'::text, 'forgotten'::text]))),
    CONSTRAINT forgotten_has_no_text CHECK (((state <> 'forgotten'::text) OR ((text = ''::text) AND (words = ''::text)))),
    CONSTRAINT learned_names_its_version CHECK (((state <> 'learned'::text) OR (learned_in IS NOT NULL))),
    CONSTRAINT leased_means_in_one_batch CHECK (((state = 'leased'::text) = (batch_id IS NOT NULL))),
    CONSTRAINT only_learned_has_a_version CHECK (((learned_in IS NULL) OR (state = ANY (ARRAY['learned'::text, 'forgotten'::text])))),
    CONSTRAINT only_pending_is_put_off CHECK (((not_before IS NULL) OR (state = 'pending'::text))),
    CONSTRAINT set_aside_says_why CHECK (((state = ANY (ARRAY['refused'::text, 'dead'::text])) = (reason IS NOT NULL)))
);
CREATE SEQUENCE experiences_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE experiences_id_seq OWNED BY experiences.id;
CREATE TABLE facts (
    experience_id bigint NOT NULL,
    "position" integer NOT NULL,
    lineage text NOT NULL,
    subject text NOT NULL,
    relation text NOT NULL,
    value text NOT NULL,
    subject_words text NOT NULL
);
CREATE TABLE happenings (
    id bigint NOT NULL,
    lineage text NOT NULL,
    experience_id bigint,
    "time" timestamp with time zone NOT NULL,
    kind text NOT NULL,
    version bigint,
    detail text,
    CONSTRAINT a_rollback_is_of_the_lineage CHECK (((kind = 'rolled_back'::text) = (experience_id IS NULL))),
    CONSTRAINT happening_kind CHECK ((kind = ANY (ARRAY['refused'::text, 'died'::text, 'requeued'::text, 'forgotten'::text, 'rolled_back'::text])))
);
CREATE SEQUENCE happenings_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE happenings_id_seq OWNED BY happenings.id;
CREATE TABLE lineages (
    name text NOT NULL,
    base_fingerprint text NOT NULL,
    head bigint NOT NULL,
    fence bigint DEFAULT '0'::bigint NOT NULL,
    lease_owner text,
    lease_expires_at timestamp with time zone,
    CONSTRAINT a_lease_has_owner_and_end CHECK (((lease_owner IS NULL) = (lease_expires_at IS NULL)))
);
CREATE TABLE live_targets (
    lineage text NOT NULL,
    held_out boolean NOT NULL,
    slot bigint NOT NULL,
    target_id bigint NOT NULL
);
CREATE TABLE pauses (
    lineage text NOT NULL,
    since timestamp with time zone NOT NULL,
    by text NOT NULL,
    reason text NOT NULL
);
CREATE TABLE probe_results (
    probe_id bigint NOT NULL,
    version bigint NOT NULL,
    answer text NOT NULL,
    correct boolean NOT NULL
);
CREATE TABLE probes (
    id bigint NOT NULL,
    lineage text NOT NULL,
    experience_id bigint NOT NULL,
    kind text NOT NULL,
    question text NOT NULL,
    answer text NOT NULL,
    subject text,
    relation text
);
CREATE SEQUENCE probes_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE probes_id_seq OWNED BY probes.id;
CREATE TABLE schema_version (
    id integer NOT NULL,
    version integer NOT NULL,
    identity text NOT NULL,
    CONSTRAINT one_schema_version CHECK ((id = 1))
);
CREATE TABLE supersessions (
    target_id bigint NOT NULL,
    lineage text NOT NULL,
    version bigint NOT NULL,
    by_experience bigint NOT NULL
);
CREATE TABLE targets (
    id bigint NOT NULL,
    lineage text NOT NULL,
    experience_id bigint NOT NULL,
    batch_id bigint NOT NULL,
    version bigint,
    superseded_by bigint,
    kind text NOT NULL,
    prompt text NOT NULL,
    completion text NOT NULL,
    subject text,
    relation text,
    subject_words text,
    relation_words text,
    held_out boolean NOT NULL,
    context_gain_nats double precision,
    payload bytea NOT NULL,
    CONSTRAINT target_kind CHECK ((kind = ANY (ARRAY['question'::text, 'restatement'::text, 'near_miss'::text])))
);
CREATE SEQUENCE targets_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE targets_id_seq OWNED BY targets.id;
CREATE TABLE versions (
    lineage text NOT NULL,
    number bigint NOT NULL,
    parent bigint,
    batch_id bigint,
    state text NOT NULL,
    delta_path text,
    delta_sha256 text,
    delta_kind text,
    delta_bytes bigint,
    weights_hash text,
    metrics text NOT NULL,
    reason text,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT a_delta_is_whole_or_absent CHECK ((((delta_path IS NULL) = (delta_sha256 IS NULL)) AND ((delta_path IS NULL) = (delta_kind IS NULL)) AND ((delta_path IS NULL) = (delta_bytes IS NULL)))),
    CONSTRAINT a_rejection_says_why CHECK (((state = 'rejected'::text) = (reason IS NOT NULL))),
    CONSTRAINT all_but_the_base_have_parent_batch_and_delta CHECK (
CASE
    WHEN (number = 0) THEN ((parent IS NULL) AND (batch_id IS NULL) AND (delta_path IS NULL) AND (state = 'admitted'::text))
    ELSE ((parent IS NOT NULL) AND (batch_id IS NOT NULL) AND (delta_path IS NOT NULL))
END),
    CONSTRAINT parents_come_first CHECK (((number >= 0) AND ((parent IS NULL) OR (parent < number)))),
    CONSTRAINT version_state CHECK ((state = ANY (ARRAY['candidate'::text, 'admitted'::text, 'rejected'::text])))
);
ALTER TABLE ONLY batches ALTER COLUMN id SET DEFAULT nextval('batches_id_seq'::regclass);
ALTER TABLE ONLY experiences ALTER COLUMN id SET DEFAULT nextval('experiences_id_seq'::regclass);
ALTER TABLE ONLY happenings ALTER COLUMN id SET DEFAULT nextval('happenings_id_seq'::regclass);
ALTER TABLE ONLY probes ALTER COLUMN id SET DEFAULT nextval('probes_id_seq'::regclass);
ALTER TABLE ONLY targets ALTER COLUMN id SET DEFAULT nextval('targets_id_seq'::regclass);
INSERT INTO batch_members VALUES (1, 1);
INSERT INTO batch_members VALUES (2, 1);
INSERT INTO batch_members VALUES (3, 1);
INSERT INTO batch_members VALUES (4, 1);
INSERT INTO batch_members VALUES (5, 1);
INSERT INTO batch_members VALUES (6, 2);
INSERT INTO batch_members VALUES (7, 3);
INSERT INTO batch_members VALUES (7, 4);
INSERT INTO batch_members VALUES (7, 5);
INSERT INTO batch_members VALUES (8, 6);
INSERT INTO batch_members VALUES (9, 7);
INSERT INTO batch_members VALUES (10, 8);
INSERT INTO batch_members VALUES (10, 9);
INSERT INTO batch_members VALUES (11, 17);
INSERT INTO batch_members VALUES (12, 18);
INSERT INTO batches VALUES (1, 'default', 0, 'abandoned', 1, 'the lease of ''mortal'' expired', '2026-01-01 00:30:00+00', '2026-01-02 00:30:00+00');
INSERT INTO batches VALUES (2, 'default', 0, 'abandoned', 2, 'the lease of ''mortal'' expired', '2026-01-02 01:00:00+00', '2026-01-03 01:00:00+00');
INSERT INTO batches VALUES (3, 'default', 0, 'abandoned', 3, 'the lease of ''mortal'' expired', '2026-01-03 01:30:00+00', '2026-01-04 01:30:00+00');
INSERT INTO batches VALUES (4, 'default', 0, 'abandoned', 4, 'the lease of ''mortal'' expired', '2026-01-04 02:00:00+00', '2026-01-05 02:00:00+00');
INSERT INTO batches VALUES (5, 'default', 0, 'abandoned', 5, 'the lease of ''mortal'' expired', '2026-01-05 02:30:00+00', '2026-01-06 02:30:00+00');
INSERT INTO batches VALUES (6, 'default', 0, 'abandoned', 6, 'the lease of ''mortal'' expired', '2026-01-06 02:30:00+00', '2026-01-07 02:30:00+00');
INSERT INTO batches VALUES (7, 'default', 0, 'committed', 7, NULL, '2026-01-07 02:30:00+00', '2026-01-07 02:30:00+00');
INSERT INTO batches VALUES (8, 'default', 1, 'committed', 8, NULL, '2026-01-07 02:31:00+00', '2026-01-07 02:31:00+00');
INSERT INTO batches VALUES (9, 'default', 3, 'rejected', 8, 'filter: a number', '2026-01-07 02:31:00+00', '2026-01-07 02:31:00+00');
INSERT INTO batches VALUES (10, 'default', 1, 'committed', 9, NULL, '2026-01-07 02:32:00+00', '2026-01-07 02:32:00+00');
INSERT INTO batches VALUES (11, 'Vögel 🐦', 0, 'committed', 1, NULL, '2026-01-07 02:32:01.000001+00', '2026-01-07 02:32:01.000001+00');
INSERT INTO batches VALUES (12, 'Vögel 🐦', 1, 'open', 1, NULL, '2026-01-07 02:32:01.000001+00', NULL);
INSERT INTO experiences VALUES (11, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00+00', '2026-01-07 02:32:00+00', 'I put the red mug in the attic.', ' i put the red mug in the attic ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'pending', NULL, NULL, NULL, 0, NULL);
INSERT INTO experiences VALUES (12, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00+00', '2026-01-07 02:32:00+00', 'ßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßß was here.', ' ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss was here ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'pending', NULL, NULL, NULL, 0, NULL);
INSERT INTO experiences VALUES (13, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00+00', '2026-01-07 02:32:00+00', '?! …', '', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'pending', NULL, NULL, NULL, 0, NULL);
INSERT INTO experiences VALUES (14, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00+00', '2026-01-07 02:32:00+00', 'A parrot came.', ' a parrot came ', NULL, NULL, NULL, '{"room": "Küche", "loud": true}', 3, 0.25, NULL, NULL, 'pending', NULL, NULL, NULL, 0, NULL);
INSERT INTO experiences VALUES (15, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00+00', '2026-01-07 02:32:00+00', 'It waits for room.', ' it waits for room ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'spilled', NULL, NULL, NULL, 0, NULL);
INSERT INTO experiences VALUES (1, 'default', 'agent', 'default', NULL, '2026-01-01 00:00:00+00', '2026-01-01 00:00:00+00', 'Poison.', ' poison ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'dead', NULL, NULL, '5 updates died while holding it', 5, NULL);
INSERT INTO experiences VALUES (16, 'elsewhere', 'agent', 'default', NULL, '2026-01-07 02:32:00+00', '2026-01-07 02:32:00+00', 'Nobody learns this one.', ' nobody learns this one ', NULL, NULL, NULL, NULL, 0, NULL, 'k-1', 'e702e76debf0c05adfb6304c3cd08e7f9c458da9cab7c1da7de0e2d3e3848859', 'pending', NULL, NULL, NULL, 0, NULL);
INSERT INTO experiences VALUES (2, 'default', 'agent', 'default', NULL, '2026-01-06 02:30:00+00', '2026-01-06 02:30:00+00', 'Interrupted once.', ' interrupted once ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'pending', NULL, NULL, NULL, 1, NULL);
INSERT INTO experiences VALUES (3, 'default', 'agent', 'default', NULL, '2026-01-07 02:30:00+00', '2026-01-07 02:30:00+00', 'I put the red mug in the drawer.', ' i put the red mug in the drawer ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'learned', NULL, 1, NULL, 0, NULL);
INSERT INTO experiences VALUES (4, 'default', 'o''neill', 'monday "2"', 4611686018427387904, '2026-01-07 02:30:00+00', '2026-01-07 02:30:00+00', 'Straße, İstanbul, 鍵, naïve café, _id:
	it''s \ 100% 🔑 ‮abc', ' strasse i stanbul 鍵 naïve cafe _id it s 100 abc ', '{"x": [1]}', '', -0.1, NULL, 0, NULL, 'k-1', '954478779842049640bbd82cc8dfdb80d8dc9b2bb412515a87b7fc5c03031716', 'learned', NULL, 1, NULL, 0, NULL);
INSERT INTO experiences VALUES (5, 'default', 'agent', 'default', NULL, '2026-01-07 02:30:00+00', '2026-01-07 02:30:00+00', 'I put the red mug in the bin.', ' i put the red mug in the bin ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'learned', NULL, 1, NULL, 0, NULL);
INSERT INTO experiences VALUES (7, 'default', 'agent', 'default', NULL, '2026-01-07 02:31:00+00', '2026-01-07 02:31:00+00', 'My PIN is 1234.', ' my pin is 1234 ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'refused', NULL, NULL, 'filter: a number', 0, NULL);
INSERT INTO experiences VALUES (6, 'default', 'agent', 'default', NULL, '2026-01-07 02:31:00+00', '2026-01-07 02:31:00+00', 'I put the red mug in the sink.', ' i put the red mug in the sink ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'pending', NULL, NULL, NULL, 0, NULL);
INSERT INTO experiences VALUES (9, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00+00', '2026-01-07 02:32:00+00', 'I put the red mug in the shed.', ' i put the red mug in the shed ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'learned', NULL, 4, NULL, 0, NULL);
INSERT INTO experiences VALUES (8, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00+00', '2026-01-07 02:32:00+00', '', '', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'forgotten', NULL, 4, NULL, 0, NULL);
INSERT INTO experiences VALUES (10, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00+00', '2026-01-07 02:32:00+00', '', '', NULL, NULL, NULL, NULL, 0, NULL, 'k-2', NULL, 'forgotten', NULL, NULL, NULL, 0, NULL);
INSERT INTO experiences VALUES (19, 'Vögel 🐦', 'agent', 'default', NULL, '2026-01-07 02:32:01.000001+00', '2026-01-07 02:32:01.000001+00', 'A bird came, number 2.', ' a bird came number 2 ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'pending', NULL, NULL, NULL, 0, NULL);
INSERT INTO experiences VALUES (17, 'Vögel 🐦', 'agent', 'default', NULL, '2026-01-07 02:32:01.000001+00', '2026-01-07 02:32:01.000001+00', 'A bird came, number 0.', ' a bird came number 0 ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'learned', NULL, 1, NULL, 0, NULL);
INSERT INTO experiences VALUES (18, 'Vögel 🐦', 'agent', 'default', NULL, '2026-01-07 02:32:01.000001+00', '2026-01-07 02:32:01.000001+00', 'A bird came, number 1.', ' a bird came number 1 ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'leased', 12, NULL, NULL, 0, NULL);
INSERT INTO facts VALUES (3, 0, 'default', 'red mug', 'location', 'drawer', 'red mug');
INSERT INTO facts VALUES (4, 0, 'default', 'Red  Mug', 'location', 'Straße 5', 'red mug');
INSERT INTO facts VALUES (5, 0, 'default', 'red mug', 'location', 'bin', 'red mug');
INSERT INTO facts VALUES (6, 0, 'default', 'red mug', 'location', 'sink', 'red mug');
INSERT INTO facts VALUES (9, 0, 'default', 'red mug', 'location', 'shed', 'red mug');
INSERT INTO facts VALUES (11, 0, 'default', 'red mug', 'location', 'attic', 'red mug');
INSERT INTO happenings VALUES (1, 'default', 1, '2026-01-06 02:30:00+00', 'died', NULL, '5 updates died while holding it');
INSERT INTO happenings VALUES (2, 'default', 7, '2026-01-07 02:31:00+00', 'refused', NULL, 'filter: a number');
INSERT INTO happenings VALUES (3, 'default', NULL, '2026-01-07 02:31:00+00', 'rolled_back', 1, NULL);
INSERT INTO happenings VALUES (4, 'default', 8, '2026-01-07 02:32:00+00', 'forgotten', NULL, NULL);
INSERT INTO happenings VALUES (5, 'default', 10, '2026-01-07 02:32:00+00', 'forgotten', NULL, NULL);
INSERT INTO lineages VALUES ('default', 'base-model-fingerprint', 4, 9, NULL, NULL);
INSERT INTO lineages VALUES ('Vögel 🐦', 'another-base', 1, 1, 'worker@host', '2026-01-07 03:32:01.000001+00');
INSERT INTO live_targets VALUES ('default', false, 1, 3);
INSERT INTO live_targets VALUES ('default', true, 1, 4);
INSERT INTO live_targets VALUES ('default', false, 2, 1);
INSERT INTO live_targets VALUES ('default', true, 2, 2);
INSERT INTO live_targets VALUES ('default', true, 0, 13);
INSERT INTO live_targets VALUES ('default', false, 0, 12);
INSERT INTO pauses VALUES ('elsewhere', '2026-01-07 02:32:00+00', 'mira@desk', 'exam "week"');
INSERT INTO probe_results VALUES (1, 1, 'É', true);
INSERT INTO probe_results VALUES (1, 3, 'É', false);
INSERT INTO probe_results VALUES (2, 3, 'É', true);
INSERT INTO probes VALUES (1, 'default', 3, 'question', 'Where is it?', 'drawer', 'mug', NULL);
INSERT INTO probes VALUES (2, 'default', 6, 'near miss', 'Whose is it?', 'unknown', NULL, NULL);
INSERT INTO schema_version VALUES (1, 3, 'f66773e3fd8e45f5aa7898ce5617f9a3');
INSERT INTO supersessions VALUES (1, 'default', 3, 6);
INSERT INTO supersessions VALUES (2, 'default', 3, 6);
INSERT INTO supersessions VALUES (5, 'default', 4, 9);
INSERT INTO supersessions VALUES (6, 'default', 4, 9);
INSERT INTO targets VALUES (3, 'default', 4, 7, 1, NULL, 'question', 'Where?', 'There.', 'Red  Mug', 'location', 'red mug', 'location', false, NULL, '\x74656163686572');
INSERT INTO targets VALUES (4, 'default', 4, 7, 1, NULL, 'question', 'Where?', 'There.', 'Red  Mug', 'location', 'red mug', 'location', true, NULL, '\x74656163686572');
INSERT INTO targets VALUES (1, 'default', 3, 7, 1, NULL, 'question', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', false, NULL, '\x74656163686572');
INSERT INTO targets VALUES (2, 'default', 3, 7, 1, NULL, 'question', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', true, NULL, '\x74656163686572');
INSERT INTO targets VALUES (7, 'default', 6, 8, 3, NULL, 'restatement', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', false, 0.1, '\x74656163686572');
INSERT INTO targets VALUES (8, 'default', 6, 8, 3, NULL, 'near_miss', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', false, 0.1, '\x74656163686572');
INSERT INTO targets VALUES (9, 'default', 6, 8, 3, NULL, 'question', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', true, NULL, '\x000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f505152535455565758595a5b5c5d5e5f606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f808182838485868788898a8b8c8d8e8f909192939495969798999a9b9c9d9e9fa0a1a2a3a4a5a6a7a8a9aaabacadaeafb0b1b2b3b4b5b6b7b8b9babbbcbdbebfc0c1c2c3c4c5c6c7c8c9cacbcccdcecfd0d1d2d3d4d5d6d7d8d9dadbdcdddedfe0e1e2e3e4e5e6e7e8e9eaebecedeeeff0f1f2f3f4f5f6f7f8f9fafbfcfdfeff');
INSERT INTO targets VALUES (12, 'default', 9, 10, 4, NULL, 'question', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', false, NULL, '\x74656163686572');
INSERT INTO targets VALUES (13, 'default', 9, 10, 4, NULL, 'question', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', true, NULL, '\x74656163686572');
INSERT INTO targets VALUES (5, 'default', 5, 7, 1, 9, 'question', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', false, NULL, '\x74656163686572');
INSERT INTO targets VALUES (6, 'default', 5, 7, 1, 9, 'question', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', true, NULL, '\x74656163686572');
INSERT INTO targets VALUES (14, 'Vögel 🐦', 18, 12, NULL, NULL, 'question', 'Where?', 'There.', 'bird', NULL, 'bird', NULL, false, NULL, '\x74656163686572');
INSERT INTO versions VALUES ('default', 0, NULL, NULL, 'admitted', NULL, NULL, NULL, NULL, NULL, '{}', NULL, '2026-01-01 00:00:00+00');
INSERT INTO versions VALUES ('default', 1, 0, 7, 'admitted', 'default/1.safetensors', '0c3c359700632ddcf2002f839324e7e89eb766650d21f158e4e2ec74197ab4d2', 'lowrank', 21, 'w', '{"kl_nats": 0.3333333333333333}', NULL, '2026-01-07 02:30:00+00');
INSERT INTO versions VALUES ('default', 2, 1, 8, 'rejected', 'default/2.safetensors', '088033484dd7586c3c6018ac13a1f452ac0bd98c437d7650506781e2e8358848', 'lowrank', 21, 'w', '{"kl_nats": 0.3333333333333333, "loss": Infinity}', 'forgets too much: 10% of "old" answers', '2026-01-07 02:31:00+00');
INSERT INTO versions VALUES ('default', 3, 1, 8, 'admitted', 'default/3.safetensors', '4cfe4a554908be9cd96066b0ce0e3c865bf1264c4f400b9818cc549e120b8367', 'lowrank', 21, 'w', '{"kl_nats": 0.3333333333333333, "loss": Infinity, "gate": 1.0}', NULL, '2026-01-07 02:31:00+00');
INSERT INTO versions VALUES ('default', 4, 1, 10, 'admitted', 'default/4.safetensors', 'bfff877288ae16f120d2db88ea11febb300497643811286a1e307094d2f61ecd', 'lowrank', 21, 'w', '{"kl_nats": 0.3333333333333333}', NULL, '2026-01-07 02:32:00+00');
INSERT INTO versions VALUES ('Vögel 🐦', 0, NULL, NULL, 'admitted', NULL, NULL, NULL, NULL, NULL, '{}', NULL, '2026-01-07 02:32:01.000001+00');
INSERT INTO versions VALUES ('Vögel 🐦', 1, 0, 11, 'admitted', 'birds/1.safetensors', '21b97141586b74260f564c83e294d41ae8960cc9f17c3536f5939c3de88366b8', 'lowrank', 19, 'b1', '{}', NULL, '2026-01-07 02:32:01.000001+00');
INSERT INTO versions VALUES ('Vögel 🐦', 2, 1, 12, 'candidate', 'birds/2.safetensors', 'a58e5b41df669e3325a4bc96bbeff241ce45ae6be031547c25df7e9c7867b77a', 'lowrank', 19, 'b2', '{"kl_nats": NaN}', NULL, '2026-01-07 02:32:01.000001+00');
SELECT pg_catalog.setval('batches_id_seq', 12, true);
SELECT pg_catalog.setval('experiences_id_seq', 19, true);
SELECT pg_catalog.setval('happenings_id_seq', 5, true);
SELECT pg_catalog.setval('probes_id_seq', 2, true);
SELECT pg_catalog.setval('targets_id_seq', 14, true);
ALTER TABLE ONLY batch_members
    ADD CONSTRAINT batch_members_pkey PRIMARY KEY (batch_id, experience_id);
ALTER TABLE ONLY batches
    ADD CONSTRAINT batches_pkey PRIMARY KEY (id);
ALTER TABLE ONLY experiences
    ADD CONSTRAINT experiences_pkey PRIMARY KEY (id);
ALTER TABLE ONLY facts
    ADD CONSTRAINT facts_pkey PRIMARY KEY (experience_id, "position");
ALTER TABLE ONLY happenings
    ADD CONSTRAINT happenings_pkey PRIMARY KEY (id);
ALTER TABLE ONLY lineages
    ADD CONSTRAINT lineages_pkey PRIMARY KEY (name);
ALTER TABLE ONLY live_targets
    ADD CONSTRAINT live_targets_pkey PRIMARY KEY (lineage, held_out, slot);
ALTER TABLE ONLY live_targets
    ADD CONSTRAINT live_targets_target_id_key UNIQUE (target_id);
ALTER TABLE ONLY pauses
    ADD CONSTRAINT pauses_pkey PRIMARY KEY (lineage);
ALTER TABLE ONLY probe_results
    ADD CONSTRAINT probe_results_pkey PRIMARY KEY (probe_id, version);
ALTER TABLE ONLY probes
    ADD CONSTRAINT probes_pkey PRIMARY KEY (id);
ALTER TABLE ONLY schema_version
    ADD CONSTRAINT schema_version_pkey PRIMARY KEY (id);
ALTER TABLE ONLY supersessions
    ADD CONSTRAINT supersessions_pkey PRIMARY KEY (target_id, version);
ALTER TABLE ONLY targets
    ADD CONSTRAINT targets_pkey PRIMARY KEY (id);
ALTER TABLE ONLY versions
    ADD CONSTRAINT versions_pkey PRIMARY KEY (lineage, number);
CREATE INDEX batches_by_member ON batch_members USING btree (experience_id);
CREATE INDEX experience_words ON experiences USING gin (array_to_tsvector(string_to_array(btrim(words), ' '::text)));
CREATE INDEX experiences_by_batch ON experiences USING btree (batch_id) WHERE (batch_id IS NOT NULL);
CREATE INDEX experiences_by_lineage ON experiences USING btree (lineage, id);
CREATE INDEX experiences_by_state ON experiences USING btree (lineage, state, id);
CREATE INDEX facts_by_subject ON facts USING btree (lineage, subject_words);
CREATE INDEX happenings_by_experience ON happenings USING btree (experience_id);
CREATE UNIQUE INDEX one_admitted_version_per_batch ON versions USING btree (batch_id) WHERE (state = 'admitted'::text);
CREATE UNIQUE INDEX one_experience_per_key ON experiences USING btree (lineage, key) WHERE (key IS NOT NULL);
CREATE UNIQUE INDEX one_open_batch_per_lineage ON batches USING btree (lineage) WHERE (state = 'open'::text);
CREATE INDEX pending_by_priority ON experiences USING btree (lineage, priority DESC, id) WHERE ((state = 'pending'::text) AND (priority > 0));
CREATE INDEX pending_by_surprise ON experiences USING btree (lineage, surprise DESC, id) WHERE ((state = 'pending'::text) AND (surprise IS NOT NULL));
CREATE INDEX probes_by_experience ON probes USING btree (experience_id);
CREATE INDEX probes_by_lineage ON probes USING btree (lineage, id);
CREATE INDEX rollbacks_by_lineage ON happenings USING btree (lineage, id) WHERE (kind = 'rolled_back'::text);
CREATE INDEX supersessions_by_version ON supersessions USING btree (lineage, version);
CREATE INDEX targets_by_batch ON targets USING btree (batch_id);
CREATE INDEX targets_by_experience ON targets USING btree (experience_id);
CREATE INDEX targets_by_subject ON targets USING btree (lineage, subject_words, relation_words);
CREATE INDEX targets_by_version ON targets USING btree (lineage, version);
CREATE INDEX versions_by_batch ON versions USING btree (batch_id);
ALTER TABLE ONLY batch_members
    ADD CONSTRAINT batch_members_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES batches(id);
ALTER TABLE ONLY batch_members
    ADD CONSTRAINT batch_members_experience_id_fkey FOREIGN KEY (experience_id) REFERENCES experiences(id);
ALTER TABLE ONLY batches
    ADD CONSTRAINT batches_lineage_fkey FOREIGN KEY (lineage) REFERENCES lineages(name);
ALTER TABLE ONLY experiences
    ADD CONSTRAINT experiences_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES batches(id);
ALTER TABLE ONLY experiences
    ADD CONSTRAINT experiences_lineage_learned_in_fkey FOREIGN KEY (lineage, learned_in) REFERENCES versions(lineage, number);
ALTER TABLE ONLY facts
    ADD CONSTRAINT facts_experience_id_fkey FOREIGN KEY (experience_id) REFERENCES experiences(id);
ALTER TABLE ONLY happenings
    ADD CONSTRAINT happenings_experience_id_fkey FOREIGN KEY (experience_id) REFERENCES experiences(id);
ALTER TABLE ONLY live_targets
    ADD CONSTRAINT live_targets_target_id_fkey FOREIGN KEY (target_id) REFERENCES targets(id);
ALTER TABLE ONLY probe_results
    ADD CONSTRAINT probe_results_probe_id_fkey FOREIGN KEY (probe_id) REFERENCES probes(id);
ALTER TABLE ONLY probes
    ADD CONSTRAINT probes_experience_id_fkey FOREIGN KEY (experience_id) REFERENCES experiences(id);
ALTER TABLE ONLY supersessions
    ADD CONSTRAINT supersessions_by_experience_fkey FOREIGN KEY (by_experience) REFERENCES experiences(id);
ALTER TABLE ONLY supersessions
    ADD CONSTRAINT supersessions_target_id_fkey FOREIGN KEY (target_id) REFERENCES targets(id);
ALTER TABLE ONLY targets
    ADD CONSTRAINT targets_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES batches(id);
ALTER TABLE ONLY targets
    ADD CONSTRAINT targets_experience_id_fkey FOREIGN KEY (experience_id) REFERENCES experiences(id);
ALTER TABLE ONLY targets
    ADD CONSTRAINT targets_superseded_by_fkey FOREIGN KEY (superseded_by) REFERENCES experiences(id);
ALTER TABLE ONLY versions
    ADD CONSTRAINT versions_batch_id_fkey FOREIGN KEY (batch_id) REFERENCES batches(id);
ALTER TABLE ONLY versions
    ADD CONSTRAINT versions_lineage_fkey FOREIGN KEY (lineage) REFERENCES lineages(name);
ALTER TABLE ONLY versions
    ADD CONSTRAINT versions_lineage_parent_fkey FOREIGN KEY (lineage, parent) REFERENCES versions(lineage, number);
