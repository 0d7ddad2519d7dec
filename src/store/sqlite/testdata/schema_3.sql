-- A database as schema 3 wrote it, with a row or two in every table. Never edited: it is what such a database looks like.
CREATE TABLE journal (sequence INTEGER PRIMARY KEY, frame BLOB NOT NULL) STRICT;
CREATE TABLE snapshots (sequence INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
CREATE TABLE jobs (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL,
  user TEXT NOT NULL,
  queue TEXT NOT NULL,
  state TEXT NOT NULL,
  submitted_ms INTEGER NOT NULL,
  ended_ms INTEGER NOT NULL,
  array_id INTEGER NOT NULL,
  client_key TEXT NOT NULL,
  spec_json TEXT NOT NULL,
  status_json TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX jobs_by_client_key ON jobs (user, client_key) WHERE client_key <> '';
CREATE INDEX jobs_by_state ON jobs (state, id);
CREATE INDEX jobs_by_array ON jobs (array_id, id) WHERE array_id <> 0;
CREATE TABLE attempts (
  job INTEGER NOT NULL,
  number INTEGER NOT NULL,
  is_over INTEGER NOT NULL,
  launch_json TEXT NOT NULL,
  status_json TEXT NOT NULL,
  PRIMARY KEY (job, number)
) STRICT;
CREATE INDEX attempts_open ON attempts (job, number) WHERE is_over = 0;
CREATE TABLE events (
  id INTEGER PRIMARY KEY,
  time_ms INTEGER NOT NULL,
  job INTEGER NOT NULL,
  kind TEXT NOT NULL,
  text TEXT NOT NULL,
  detail_json TEXT NOT NULL
) STRICT;
CREATE TABLE secrets (name TEXT PRIMARY KEY, sealed BLOB NOT NULL, changed_ms INTEGER NOT NULL) STRICT;
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT;
CREATE INDEX jobs_by_name ON jobs (name, id);
CREATE INDEX events_by_job ON events (job, id) WHERE job <> 0;
CREATE TABLE services (name TEXT PRIMARY KEY, record_json TEXT NOT NULL) STRICT;
PRAGMA application_id = 1111642962;
PRAGMA user_version = 3;
INSERT INTO journal VALUES (1, X'01'), (2, X'0202'), (3, X'');
INSERT INTO snapshots VALUES (2, CAST('snapshot-of-2' AS BLOB));
INSERT INTO jobs VALUES
  (1, 'digits', 'ada', 'default', 'succeeded', 1700000000000, 1700000060000, 0, '', '{"name":"digits"}', '{}'),
  (2, 'digits', 'ada', 'default', 'running', 1700000100000, 0, 0, 'k-2', '{"name":"digits"}', '{"step":40}');
INSERT INTO attempts VALUES (1, 1, 1, '{}', '{}'), (2, 1, 0, '{"tasks":[]}', '{}');
INSERT INTO events VALUES
  (1, 1700000000000, 1, 'submitted', 'by ada', '{}'),
  (2, 1700000100000, 2, 'submitted', 'by ada', '{}'),
  (3, 1700000100005, 2, 'placed', 'on 2 cards', '{}');
INSERT INTO secrets VALUES ('wandb', X'0001FF', 1700000000000);
INSERT INTO meta VALUES ('server_id', CAST('fixture' AS BLOB));
