-- Version 2: each row carries a checksum, a body's references their negation, and a session's row the number of its
-- subscriptions and inbound ids.
ALTER TABLE counters ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN subscriptions INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN inbound_ids INTEGER NOT NULL DEFAULT 0;
ALTER TABLE sessions ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN refs_check INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE subscriptions ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE inbound ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE retained ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
ALTER TABLE wills ADD COLUMN checksum INTEGER NOT NULL DEFAULT 0;
UPDATE sessions SET
    subscriptions = (SELECT count(*) FROM subscriptions WHERE session = sessions.id),
    inbound_ids = (SELECT count(*) FROM inbound WHERE session = sessions.id);
UPDATE messages SET refs_check = -refs;
-- Walks read the table itself: an index can be damaged, and has no checksum.
DROP INDEX sessions_live;
