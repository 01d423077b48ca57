-- A log of schema version 3, made by commit 565b598 with `python -m tests.schema_dumps`.
CREATE TABLE schema_version (
	id INTEGER NOT NULL CONSTRAINT one_schema_version CHECK (id = 1), 
	version INTEGER NOT NULL, 
	identity TEXT NOT NULL, 
	PRIMARY KEY (id)
);
CREATE TABLE lineages (
	name TEXT NOT NULL, 
	base_fingerprint TEXT NOT NULL, 
	head INTEGER NOT NULL, 
	fence INTEGER DEFAULT '0' NOT NULL, 
	lease_owner TEXT, 
	lease_expires_at DATETIME, 
	PRIMARY KEY (name), 
	CONSTRAINT a_lease_has_owner_and_end CHECK ((lease_owner IS NULL) = (lease_expires_at IS NULL))
);
CREATE TABLE pauses (
	lineage TEXT NOT NULL, 
	since DATETIME NOT NULL, 
	"by" TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	PRIMARY KEY (lineage)
);
CREATE TABLE batches (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	lineage TEXT NOT NULL, 
	parent_version INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	fence INTEGER NOT NULL, 
	reason TEXT, 
	opened_at DATETIME NOT NULL, 
	ended_at DATETIME, 
	CONSTRAINT batch_state CHECK (state IN ('open', 'committed', 'rejected', 'abandoned')), 
	FOREIGN KEY(lineage) REFERENCES lineages (name)
);
CREATE UNIQUE INDEX one_open_batch_per_lineage ON batches (lineage) WHERE state = 'open';
CREATE TABLE versions (
	lineage TEXT NOT NULL, 
	number INTEGER NOT NULL, 
	parent INTEGER, 
	batch_id INTEGER, 
	state TEXT NOT NULL, 
	delta_path TEXT, 
	delta_sha256 TEXT, 
	delta_kind TEXT, 
	delta_bytes INTEGER, 
	weights_hash TEXT, 
	metrics TEXT NOT NULL, 
	reason TEXT, 
	created_at DATETIME NOT NULL, 
	PRIMARY KEY (lineage, number), 
	FOREIGN KEY(lineage, parent) REFERENCES versions (lineage, number), 
	CONSTRAINT version_state CHECK (state IN ('candidate', 'admitted', 'rejected')), 
	CONSTRAINT parents_come_first CHECK (number >= 0 AND (parent IS NULL OR parent < number)), 
	CONSTRAINT all_but_the_base_have_parent_batch_and_delta CHECK (CASE WHEN number = 0 THEN parent IS NULL AND batch_id IS NULL AND delta_path IS NULL AND state = 'admitted' ELSE parent IS NOT NULL AND batch_id IS NOT NULL AND delta_path IS NOT NULL END), 
	CONSTRAINT a_delta_is_whole_or_absent CHECK ((delta_path IS NULL) = (delta_sha256 IS NULL) AND (delta_path IS NULL) = (delta_kind IS NULL) AND (delta_path IS NULL) = (delta_bytes IS NULL)), 
	CONSTRAINT a_rejection_says_why CHECK ((state = 'rejected') = (reason IS NOT NULL)), 
	FOREIGN KEY(lineage) REFERENCES lineages (name), 
	FOREIGN KEY(batch_id) REFERENCES batches (id)
);
CREATE INDEX versions_by_batch ON versions (batch_id);
CREATE UNIQUE INDEX one_admitted_version_per_batch ON versions (batch_id) WHERE state = 'admitted';
CREATE TABLE experiences (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	lineage TEXT NOT NULL, 
	agent TEXT NOT NULL, 
	session TEXT NOT NULL, 
	step INTEGER, 
	time DATETIME NOT NULL, 
	appended_at DATETIME NOT NULL, 
	text TEXT NOT NULL, 
	words TEXT NOT NULL, 
	observation TEXT, 
	action TEXT, 
	reward FLOAT, 
	metadata TEXT, 
	priority INTEGER DEFAULT '0' NOT NULL, 
	surprise FLOAT, 
	"key" TEXT, 
	content_hash TEXT, 
	state TEXT NOT NULL, 
	batch_id INTEGER, 
	learned_in INTEGER, 
	reason TEXT, 
	attempts INTEGER DEFAULT '0' NOT NULL, 
	not_before DATETIME, 
	CONSTRAINT experience_state CHECK (state IN ('spilled', 'pending', 'leased', 'learned', 'refused', 'dead', 'forgotten')), 
	CONSTRAINT leased_means_in_one_batch CHECK ((state = 'leased') = (batch_id IS NOT NULL)), 
	CONSTRAINT learned_names_its_version CHECK (state != 'learned' OR learned_in IS NOT NULL), 
	CONSTRAINT only_learned_has_a_version CHECK (learned_in IS NULL OR state IN ('learned', 'forgotten')), 
	CONSTRAINT set_aside_says_why CHECK ((state IN ('refused', 'dead')) = (reason IS NOT NULL)), 
	CONSTRAINT forgotten_has_no_text CHECK (state != 'forgotten' OR (text = '' AND words = '')), 
	CONSTRAINT only_pending_is_put_off CHECK (not_before IS NULL OR state = 'pending'), 
	FOREIGN KEY(lineage, learned_in) REFERENCES versions (lineage, number), 
	FOREIGN KEY(batch_id) REFERENCES batches (id)
);
CREATE INDEX experiences_by_state ON experiences (lineage, state, id);
CREATE UNIQUE INDEX one_experience_per_key ON experiences (lineage, "key") WHERE key IS NOT NULL;
CREATE INDEX experiences_by_lineage ON experiences (lineage, id);
CREATE INDEX pending_by_surprise ON experiences (lineage, surprise DESC, id) WHERE state = 'pending' AND surprise IS NOT NULL;
CREATE INDEX pending_by_priority ON experiences (lineage, priority DESC, id) WHERE state = 'pending' AND priority > 0;
CREATE INDEX experiences_by_batch ON experiences (batch_id) WHERE batch_id IS NOT NULL;
CREATE VIRTUAL TABLE experience_words USING fts5(
        words, content='experiences', content_rowid='id', tokenize="ascii tokenchars '_'", detail=none, columnsize=0
    );
CREATE TABLE facts (
	experience_id INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	lineage TEXT NOT NULL, 
	subject TEXT NOT NULL, 
	relation TEXT NOT NULL, 
	value TEXT NOT NULL, 
	subject_words TEXT NOT NULL, 
	PRIMARY KEY (experience_id, position), 
	FOREIGN KEY(experience_id) REFERENCES experiences (id)
);
CREATE INDEX facts_by_subject ON facts (lineage, subject_words);
CREATE TABLE batch_members (
	batch_id INTEGER NOT NULL, 
	experience_id INTEGER NOT NULL, 
	PRIMARY KEY (batch_id, experience_id), 
	FOREIGN KEY(batch_id) REFERENCES batches (id), 
	FOREIGN KEY(experience_id) REFERENCES experiences (id)
);
CREATE INDEX batches_by_member ON batch_members (experience_id);
CREATE TABLE happenings (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	lineage TEXT NOT NULL, 
	experience_id INTEGER, 
	time DATETIME NOT NULL, 
	kind TEXT NOT NULL, 
	version INTEGER, 
	detail TEXT, 
	CONSTRAINT happening_kind CHECK (kind IN ('refused', 'died', 'requeued', 'forgotten', 'rolled_back')), 
	CONSTRAINT a_rollback_is_of_the_lineage CHECK ((kind = 'rolled_back') = (experience_id IS NULL)), 
	FOREIGN KEY(experience_id) REFERENCES experiences (id)
);
CREATE INDEX rollbacks_by_lineage ON happenings (lineage, id) WHERE kind = 'rolled_back';
CREATE INDEX happenings_by_experience ON happenings (experience_id);
CREATE TABLE targets (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	lineage TEXT NOT NULL, 
	experience_id INTEGER NOT NULL, 
	batch_id INTEGER NOT NULL, 
	version INTEGER, 
	superseded_by INTEGER, 
	kind TEXT NOT NULL, 
	prompt TEXT NOT NULL, 
	completion TEXT NOT NULL, 
	subject TEXT, 
	relation TEXT, 
	subject_words TEXT, 
	relation_words TEXT, 
	held_out BOOLEAN NOT NULL, 
	context_gain_nats FLOAT, 
	payload BLOB NOT NULL, 
	CONSTRAINT target_kind CHECK (kind IN ('question', 'restatement', 'near_miss')), 
	FOREIGN KEY(experience_id) REFERENCES experiences (id), 
	FOREIGN KEY(batch_id) REFERENCES batches (id), 
	FOREIGN KEY(superseded_by) REFERENCES experiences (id)
);
CREATE INDEX targets_by_experience ON targets (experience_id);
CREATE INDEX targets_by_subject ON targets (lineage, subject_words, relation_words);
CREATE INDEX targets_by_batch ON targets (batch_id);
CREATE INDEX targets_by_version ON targets (lineage, version);
CREATE TABLE probes (
	id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, 
	lineage TEXT NOT NULL, 
	experience_id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	question TEXT NOT NULL, 
	answer TEXT NOT NULL, 
	subject TEXT, 
	relation TEXT, 
	FOREIGN KEY(experience_id) REFERENCES experiences (id)
);
CREATE INDEX probes_by_lineage ON probes (lineage, id);
CREATE INDEX probes_by_experience ON probes (experience_id);
CREATE TABLE live_targets (
	lineage TEXT NOT NULL, 
	held_out BOOLEAN NOT NULL, 
	slot INTEGER NOT NULL, 
	target_id INTEGER NOT NULL, 
	PRIMARY KEY (lineage, held_out, slot), 
	UNIQUE (target_id), 
	FOREIGN KEY(target_id) REFERENCES targets (id)
);
CREATE TABLE supersessions (
	target_id INTEGER NOT NULL, 
	lineage TEXT NOT NULL, 
	version INTEGER NOT NULL, 
	by_experience INTEGER NOT NULL, 
	PRIMARY KEY (target_id, version), 
	FOREIGN KEY(target_id) REFERENCES targets (id), 
	FOREIGN KEY(by_experience) REFERENCES experiences (id)
);
CREATE INDEX supersessions_by_version ON supersessions (lineage, version);
CREATE TABLE probe_results (
	probe_id INTEGER NOT NULL, 
	version INTEGER NOT NULL, 
	answer TEXT NOT NULL, 
	correct BOOLEAN NOT NULL, 
	PRIMARY KEY (probe_id, version), 
	FOREIGN KEY(probe_id) REFERENCES probes (id)
);
INSERT INTO "schema_version" VALUES (1, 3, '740b5fb9bb4540cd97169c5535e0c232');
INSERT INTO "lineages" VALUES ('default', 'base-model-fingerprint', 4, 9, NULL, NULL);
INSERT INTO "lineages" VALUES ('Vögel 🐦', 'another-base', 1, 1, 'worker@host', '2026-01-07 03:32:01.000001');
INSERT INTO "pauses" VALUES ('elsewhere', '2026-01-07 02:32:00.000000', 'mira@desk', 'exam "week"');
INSERT INTO "batches" VALUES (1, 'default', 0, 'abandoned', 1, 'the lease of ''mortal'' expired', '2026-01-01 00:30:00.000000', '2026-01-02 00:30:00.000000');
INSERT INTO "batches" VALUES (2, 'default', 0, 'abandoned', 2, 'the lease of ''mortal'' expired', '2026-01-02 01:00:00.000000', '2026-01-03 01:00:00.000000');
INSERT INTO "batches" VALUES (3, 'default', 0, 'abandoned', 3, 'the lease of ''mortal'' expired', '2026-01-03 01:30:00.000000', '2026-01-04 01:30:00.000000');
INSERT INTO "batches" VALUES (4, 'default', 0, 'abandoned', 4, 'the lease of ''mortal'' expired', '2026-01-04 02:00:00.000000', '2026-01-05 02:00:00.000000');
INSERT INTO "batches" VALUES (5, 'default', 0, 'abandoned', 5, 'the lease of ''mortal'' expired', '2026-01-05 02:30:00.000000', '2026-01-06 02:30:00.000000');
INSERT INTO "batches" VALUES (6, 'default', 0, 'abandoned', 6, 'the lease of ''mortal'' expired', '2026-01-06 02:30:00.000000', '2026-01-07 02:30:00.000000');
INSERT INTO "batches" VALUES (7, 'default', 0, 'committed', 7, NULL, '2026-01-07 02:30:00.000000', '2026-01-07 02:30:00.000000');
INSERT INTO "batches" VALUES (8, 'default', 1, 'committed', 8, NULL, '2026-01-07 02:31:00.000000', '2026-01-07 02:31:00.000000');
INSERT INTO "batches" VALUES (9, 'default', 3, 'rejected', 8, 'filter: a number', '2026-01-07 02:31:00.000000', '2026-01-07 02:31:00.000000');
INSERT INTO "batches" VALUES (10, 'default', 1, 'committed', 9, NULL, '2026-01-07 02:32:00.000000', '2026-01-07 02:32:00.000000');
INSERT INTO "batches" VALUES (11, 'Vögel 🐦', 0, 'committed', 1, NULL, '2026-01-07 02:32:01.000001', '2026-01-07 02:32:01.000001');
INSERT INTO "batches" VALUES (12, 'Vögel 🐦', 1, 'open', 1, NULL, '2026-01-07 02:32:01.000001', NULL);
INSERT INTO "versions" VALUES ('default', 0, NULL, NULL, 'admitted', NULL, NULL, NULL, NULL, NULL, '{}', NULL, '2026-01-01 00:00:00.000000');
INSERT INTO "versions" VALUES ('default', 1, 0, 7, 'admitted', 'default/1.safetensors', '0c3c359700632ddcf2002f839324e7e89eb766650d21f158e4e2ec74197ab4d2', 'lowrank', 21, 'w', '{"kl_nats": 0.3333333333333333}', NULL, '2026-01-07 02:30:00.000000');
INSERT INTO "versions" VALUES ('default', 2, 1, 8, 'rejected', 'default/2.safetensors', '088033484dd7586c3c6018ac13a1f452ac0bd98c437d7650506781e2e8358848', 'lowrank', 21, 'w', '{"kl_nats": 0.3333333333333333, "loss": Infinity}', 'forgets too much: 10% of "old" answers', '2026-01-07 02:31:00.000000');
INSERT INTO "versions" VALUES ('default', 3, 1, 8, 'admitted', 'default/3.safetensors', '4cfe4a554908be9cd96066b0ce0e3c865bf1264c4f400b9818cc549e120b8367', 'lowrank', 21, 'w', '{"kl_nats": 0.3333333333333333, "loss": Infinity, "gate": 1.0}', NULL, '2026-01-07 02:31:00.000000');
INSERT INTO "versions" VALUES ('default', 4, 1, 10, 'admitted', 'default/4.safetensors', 'bfff877288ae16f120d2db88ea11febb300497643811286a1e307094d2f61ecd', 'lowrank', 21, 'w', '{"kl_nats": 0.3333333333333333}', NULL, '2026-01-07 02:32:00.000000');
INSERT INTO "versions" VALUES ('Vögel 🐦', 0, NULL, NULL, 'admitted', NULL, NULL, NULL, NULL, NULL, '{}', NULL, '2026-01-07 02:32:01.000001');
INSERT INTO "versions" VALUES ('Vögel 🐦', 1, 0, 11, 'admitted', 'birds/1.safetensors', '21b97141586b74260f564c83e294d41ae8960cc9f17c3536f5939c3de88366b8', 'lowrank', 19, 'b1', '{}', NULL, '2026-01-07 02:32:01.000001');
INSERT INTO "versions" VALUES ('Vögel 🐦', 2, 1, 12, 'candidate', 'birds/2.safetensors', 'a58e5b41df669e3325a4bc96bbeff241ce45ae6be031547c25df7e9c7867b77a', 'lowrank', 19, 'b2', '{"kl_nats": NaN}', NULL, '2026-01-07 02:32:01.000001');
INSERT INTO "experiences" VALUES (1, 'default', 'agent', 'default', NULL, '2026-01-01 00:00:00.000000', '2026-01-01 00:00:00.000000', 'Poison.', ' poison ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'dead', NULL, NULL, '5 updates died while holding it', 5, NULL);
INSERT INTO "experiences" VALUES (2, 'default', 'agent', 'default', NULL, '2026-01-06 02:30:00.000000', '2026-01-06 02:30:00.000000', 'Interrupted once.', ' interrupted once ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'pending', NULL, NULL, NULL, 1, NULL);
INSERT INTO "experiences" VALUES (3, 'default', 'agent', 'default', NULL, '2026-01-07 02:30:00.000000', '2026-01-07 02:30:00.000000', 'I put the red mug in the drawer.', ' i put the red mug in the drawer ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'learned', NULL, 1, NULL, 0, NULL);
INSERT INTO "experiences" VALUES (4, 'default', 'o''neill', 'monday "2"', 4611686018427387904, '2026-01-07 02:30:00.000000', '2026-01-07 02:30:00.000000', 'Straße, İstanbul, 鍵, naïve café, _id:
	it''s \ 100% 🔑 ‮abc', ' strasse i stanbul 鍵 naïve cafe _id it s 100 abc ', '{"x": [1]}', '', -0.1, NULL, 0, NULL, 'k-1', '954478779842049640bbd82cc8dfdb80d8dc9b2bb412515a87b7fc5c03031716', 'learned', NULL, 1, NULL, 0, NULL);
INSERT INTO "experiences" VALUES (5, 'default', 'agent', 'default', NULL, '2026-01-07 02:30:00.000000', '2026-01-07 02:30:00.000000', 'I put the red mug in the bin.', ' i put the red mug in the bin ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'learned', NULL, 1, NULL, 0, NULL);
INSERT INTO "experiences" VALUES (6, 'default', 'agent', 'default', NULL, '2026-01-07 02:31:00.000000', '2026-01-07 02:31:00.000000', 'I put the red mug in the sink.', ' i put the red mug in the sink ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'pending', NULL, NULL, NULL, 0, NULL);
INSERT INTO "experiences" VALUES (7, 'default', 'agent', 'default', NULL, '2026-01-07 02:31:00.000000', '2026-01-07 02:31:00.000000', 'My PIN is 1234.', ' my pin is 1234 ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'refused', NULL, NULL, 'filter: a number', 0, NULL);
INSERT INTO "experiences" VALUES (8, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00.000000', '2026-01-07 02:32:00.000000', '', '', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'forgotten', NULL, 4, NULL, 0, NULL);
INSERT INTO "experiences" VALUES (9, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00.000000', '2026-01-07 02:32:00.000000', 'I put the red mug in the shed.', ' i put the red mug in the shed ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'learned', NULL, 4, NULL, 0, NULL);
INSERT INTO "experiences" VALUES (10, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00.000000', '2026-01-07 02:32:00.000000', '', '', NULL, NULL, NULL, NULL, 0, NULL, 'k-2', NULL, 'forgotten', NULL, NULL, NULL, 0, NULL);
INSERT INTO "experiences" VALUES (11, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00.000000', '2026-01-07 02:32:00.000000', 'I put the red mug in the attic.', ' i put the red mug in the attic ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'pending', NULL, NULL, NULL, 0, NULL);
INSERT INTO "experiences" VALUES (12, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00.000000', '2026-01-07 02:32:00.000000', 'ßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßßß was here.', ' ssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssssss was here ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'pending', NULL, NULL, NULL, 0, NULL);
INSERT INTO "experiences" VALUES (13, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00.000000', '2026-01-07 02:32:00.000000', '?! …', '', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'pending', NULL, NULL, NULL, 0, NULL);
INSERT INTO "experiences" VALUES (14, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00.000000', '2026-01-07 02:32:00.000000', 'A parrot came.', ' a parrot came ', NULL, NULL, NULL, '{"room": "Küche", "loud": true}', 3, 0.25, NULL, NULL, 'pending', NULL, NULL, NULL, 0, NULL);
INSERT INTO "experiences" VALUES (15, 'default', 'agent', 'default', NULL, '2026-01-07 02:32:00.000000', '2026-01-07 02:32:00.000000', 'It waits for room.', ' it waits for room ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'spilled', NULL, NULL, NULL, 0, NULL);
INSERT INTO "experiences" VALUES (16, 'elsewhere', 'agent', 'default', NULL, '2026-01-07 02:32:00.000000', '2026-01-07 02:32:00.000000', 'Nobody learns this one.', ' nobody learns this one ', NULL, NULL, NULL, NULL, 0, NULL, 'k-1', 'e702e76debf0c05adfb6304c3cd08e7f9c458da9cab7c1da7de0e2d3e3848859', 'pending', NULL, NULL, NULL, 0, NULL);
INSERT INTO "experiences" VALUES (17, 'Vögel 🐦', 'agent', 'default', NULL, '2026-01-07 02:32:01.000001', '2026-01-07 02:32:01.000001', 'A bird came, number 0.', ' a bird came number 0 ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'learned', NULL, 1, NULL, 0, NULL);
INSERT INTO "experiences" VALUES (18, 'Vögel 🐦', 'agent', 'default', NULL, '2026-01-07 02:32:01.000001', '2026-01-07 02:32:01.000001', 'A bird came, number 1.', ' a bird came number 1 ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'leased', 12, NULL, NULL, 0, NULL);
INSERT INTO "experiences" VALUES (19, 'Vögel 🐦', 'agent', 'default', NULL, '2026-01-07 02:32:01.000001', '2026-01-07 02:32:01.000001', 'A bird came, number 2.', ' a bird came number 2 ', NULL, NULL, NULL, NULL, 0, NULL, NULL, NULL, 'pending', NULL, NULL, NULL, 0, NULL);
INSERT INTO "facts" VALUES (3, 0, 'default', 'red mug', 'location', 'drawer', 'red mug');
INSERT INTO "facts" VALUES (4, 0, 'default', 'Red  Mug', 'location', 'Straße 5', 'red mug');
INSERT INTO "facts" VALUES (5, 0, 'default', 'red mug', 'location', 'bin', 'red mug');
INSERT INTO "facts" VALUES (6, 0, 'default', 'red mug', 'location', 'sink', 'red mug');
INSERT INTO "facts" VALUES (9, 0, 'default', 'red mug', 'location', 'shed', 'red mug');
INSERT INTO "facts" VALUES (11, 0, 'default', 'red mug', 'location', 'attic', 'red mug');
INSERT INTO "batch_members" VALUES (1, 1);
INSERT INTO "batch_members" VALUES (2, 1);
INSERT INTO "batch_members" VALUES (3, 1);
INSERT INTO "batch_members" VALUES (4, 1);
INSERT INTO "batch_members" VALUES (5, 1);
INSERT INTO "batch_members" VALUES (6, 2);
INSERT INTO "batch_members" VALUES (7, 3);
INSERT INTO "batch_members" VALUES (7, 4);
INSERT INTO "batch_members" VALUES (7, 5);
INSERT INTO "batch_members" VALUES (8, 6);
INSERT INTO "batch_members" VALUES (9, 7);
INSERT INTO "batch_members" VALUES (10, 8);
INSERT INTO "batch_members" VALUES (10, 9);
INSERT INTO "batch_members" VALUES (11, 17);
INSERT INTO "batch_members" VALUES (12, 18);
INSERT INTO "happenings" VALUES (1, 'default', 1, '2026-01-06 02:30:00.000000', 'died', NULL, '5 updates died while holding it');
INSERT INTO "happenings" VALUES (2, 'default', 7, '2026-01-07 02:31:00.000000', 'refused', NULL, 'filter: a number');
INSERT INTO "happenings" VALUES (3, 'default', NULL, '2026-01-07 02:31:00.000000', 'rolled_back', 1, NULL);
INSERT INTO "happenings" VALUES (4, 'default', 8, '2026-01-07 02:32:00.000000', 'forgotten', NULL, NULL);
INSERT INTO "happenings" VALUES (5, 'default', 10, '2026-01-07 02:32:00.000000', 'forgotten', NULL, NULL);
INSERT INTO "targets" VALUES (1, 'default', 3, 7, 1, NULL, 'question', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', 0, NULL, X'74656163686572');
INSERT INTO "targets" VALUES (2, 'default', 3, 7, 1, NULL, 'question', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', 1, NULL, X'74656163686572');
INSERT INTO "targets" VALUES (3, 'default', 4, 7, 1, NULL, 'question', 'Where?', 'There.', 'Red  Mug', 'location', 'red mug', 'location', 0, NULL, X'74656163686572');
INSERT INTO "targets" VALUES (4, 'default', 4, 7, 1, NULL, 'question', 'Where?', 'There.', 'Red  Mug', 'location', 'red mug', 'location', 1, NULL, X'74656163686572');
INSERT INTO "targets" VALUES (5, 'default', 5, 7, 1, 9, 'question', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', 0, NULL, X'74656163686572');
INSERT INTO "targets" VALUES (6, 'default', 5, 7, 1, 9, 'question', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', 1, NULL, X'74656163686572');
INSERT INTO "targets" VALUES (7, 'default', 6, 8, 3, NULL, 'restatement', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', 0, 0.1, X'74656163686572');
INSERT INTO "targets" VALUES (8, 'default', 6, 8, 3, NULL, 'near_miss', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', 0, 0.1, X'74656163686572');
INSERT INTO "targets" VALUES (9, 'default', 6, 8, 3, NULL, 'question', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', 1, NULL, X'000102030405060708090A0B0C0D0E0F101112131415161718191A1B1C1D1E1F202122232425262728292A2B2C2D2E2F303132333435363738393A3B3C3D3E3F404142434445464748494A4B4C4D4E4F505152535455565758595A5B5C5D5E5F606162636465666768696A6B6C6D6E6F707172737475767778797A7B7C7D7E7F808182838485868788898A8B8C8D8E8F909192939495969798999A9B9C9D9E9FA0A1A2A3A4A5A6A7A8A9AAABACADAEAFB0B1B2B3B4B5B6B7B8B9BABBBCBDBEBFC0C1C2C3C4C5C6C7C8C9CACBCCCDCECFD0D1D2D3D4D5D6D7D8D9DADBDCDDDEDFE0E1E2E3E4E5E6E7E8E9EAEBECEDEEEFF0F1F2F3F4F5F6F7F8F9FAFBFCFDFEFF');
INSERT INTO "targets" VALUES (12, 'default', 9, 10, 4, NULL, 'question', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', 0, NULL, X'74656163686572');
INSERT INTO "targets" VALUES (13, 'default', 9, 10, 4, NULL, 'question', 'Where?', 'There.', 'red mug', 'location', 'red mug', 'location', 1, NULL, X'74656163686572');
INSERT INTO "targets" VALUES (14, 'Vögel 🐦', 18, 12, NULL, NULL, 'question', 'Where?', 'There.', 'bird', NULL, 'bird', NULL, 0, NULL, X'74656163686572');
INSERT INTO "probes" VALUES (1, 'default', 3, 'question', 'Where is it?', 'drawer', 'mug', NULL);
INSERT INTO "probes" VALUES (2, 'default', 6, 'near miss', 'Whose is it?', 'unknown', NULL, NULL);
INSERT INTO "live_targets" VALUES ('default', 0, 1, 3);
INSERT INTO "live_targets" VALUES ('default', 1, 1, 4);
INSERT INTO "live_targets" VALUES ('default', 0, 2, 1);
INSERT INTO "live_targets" VALUES ('default', 1, 2, 2);
INSERT INTO "live_targets" VALUES ('default', 0, 0, 12);
INSERT INTO "live_targets" VALUES ('default', 1, 0, 13);
INSERT INTO "supersessions" VALUES (1, 'default', 3, 6);
INSERT INTO "supersessions" VALUES (2, 'default', 3, 6);
INSERT INTO "supersessions" VALUES (5, 'default', 4, 9);
INSERT INTO "supersessions" VALUES (6, 'default', 4, 9);
INSERT INTO "probe_results" VALUES (1, 1, 'É', 1);
INSERT INTO "probe_results" VALUES (1, 3, 'É', 0);
INSERT INTO "probe_results" VALUES (2, 3, 'É', 1);
DELETE FROM sqlite_sequence;
INSERT INTO "sqlite_sequence" VALUES ('experiences', 19);
INSERT INTO "sqlite_sequence" VALUES ('batches', 12);
INSERT INTO "sqlite_sequence" VALUES ('happenings', 5);
INSERT INTO "sqlite_sequence" VALUES ('targets', 14);
INSERT INTO "sqlite_sequence" VALUES ('probes', 2);
INSERT INTO "experience_words"("experience_words") VALUES ('rebuild');
CREATE TRIGGER experience_words_insert AFTER INSERT ON experiences BEGIN
        INSERT INTO experience_words(rowid, words) VALUES (new.id, new.words);
    END;
CREATE TRIGGER experience_words_update AFTER UPDATE OF words ON experiences BEGIN
        INSERT INTO experience_words(experience_words, rowid, words) VALUES ('delete', old.id, old.words);
        INSERT INTO experience_words(rowid, words) VALUES (new.id, new.words);
    END;
CREATE TRIGGER experience_words_delete AFTER DELETE ON experiences BEGIN
        INSERT INTO experience_words(experience_words, rowid, words) VALUES ('delete', old.id, old.words);
    END;
