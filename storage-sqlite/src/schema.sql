-- Version 2. A person may read all of this with `sqlite3 -readonly`; the views at the end are made for that.
-- Times are milliseconds since the Unix epoch; what has none is NULL. A row's checksum is a CRC-32C of its table's name
-- and its columns: a row changed by hand is taken for a damaged one.

-- The last number given out of each kind, so that none is given twice.
CREATE TABLE counters (
    name  TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL,
    checksum INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
INSERT INTO counters (name, value) VALUES ('epoch', 0), ('version', 0);

-- Sessions, also those that ended and left something behind.
CREATE TABLE sessions (
    id            INTEGER PRIMARY KEY NOT NULL,
    client_id     TEXT NOT NULL,
    epoch         INTEGER NOT NULL,
    expiry_secs   INTEGER,           -- NULL: never
    offline_since INTEGER,           -- NULL: connected, or its process died
    ended_at      INTEGER,           -- NULL: has not ended
    due_at        INTEGER,           -- when it expires; for one that ended, its end
    next_seq      INTEGER NOT NULL DEFAULT 1,
    queued_items  INTEGER NOT NULL DEFAULT 0,
    queued_bytes  INTEGER NOT NULL DEFAULT 0,
    waiting_items INTEGER NOT NULL DEFAULT 0,   -- of these, without a packet id
    waiting_bytes INTEGER NOT NULL DEFAULT 0,
    subscriptions INTEGER NOT NULL DEFAULT 0,   -- how many there are
    inbound_ids   INTEGER NOT NULL DEFAULT 0,
    checksum      INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX sessions_by_client ON sessions (client_id) WHERE ended_at IS NULL;
CREATE INDEX sessions_due ON sessions (due_at) WHERE due_at IS NOT NULL;

-- Bodies, each once; `refs` counts the rows of queue, retained and wills that name it. These name it without a
-- foreign key: the key would want an index on the message of every queue entry, paid by each publish.
CREATE TABLE messages (
    id         INTEGER PRIMARY KEY NOT NULL,
    refs       INTEGER NOT NULL,
    topic      TEXT NOT NULL,
    qos        INTEGER NOT NULL,
    expires_at INTEGER,
    properties BLOB NOT NULL,
    payload    BLOB NOT NULL,
    refs_check INTEGER NOT NULL DEFAULT 0,      -- -refs, so that a damaged count shows
    checksum   INTEGER NOT NULL DEFAULT 0       -- of all but the counts
);

CREATE TABLE subscriptions (
    session    INTEGER NOT NULL REFERENCES sessions (id),
    filter     TEXT NOT NULL,
    options    INTEGER NOT NULL,     -- the byte of SUBSCRIBE (MQTT 5.0, 3.8.3.1)
    identifier INTEGER,
    checksum   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (session, filter)
) WITHOUT ROWID;

CREATE TABLE queue (
    session          INTEGER NOT NULL REFERENCES sessions (id),
    seq              INTEGER NOT NULL,
    message          INTEGER,        -- NULL: released (PUBREC was seen)
    size             INTEGER NOT NULL,
    qos              INTEGER NOT NULL,
    retain           INTEGER NOT NULL,
    packet_id        INTEGER,
    expires_at       INTEGER,        -- only while it has no packet id
    subscription_ids TEXT,           -- decimal, separated by commas
    share            TEXT,
    checksum         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (session, seq)
) WITHOUT ROWID;
CREATE INDEX queue_due ON queue (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE inbound (
    session   INTEGER NOT NULL REFERENCES sessions (id),
    packet_id INTEGER NOT NULL,
    checksum  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (session, packet_id)
) WITHOUT ROWID;

-- The key is the topic with 0x00 for each slash, so that what lies below a topic lies behind it without a gap.
CREATE TABLE retained (
    key        BLOB PRIMARY KEY NOT NULL,
    message    INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    expires_at INTEGER,
    checksum   INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX retained_due ON retained (expires_at) WHERE expires_at IS NOT NULL;

-- Wills outlive their sessions, so there is no foreign key.
CREATE TABLE wills (
    session     INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    message     INTEGER NOT NULL,
    retain      INTEGER NOT NULL,
    delay_secs  INTEGER NOT NULL,
    expiry_secs INTEGER,
    due_at      INTEGER,             -- NULL: its connection lives
    checksum    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (session, epoch)
) WITHOUT ROWID;
CREATE INDEX wills_due ON wills (due_at) WHERE due_at IS NOT NULL;

CREATE VIEW queued_messages AS
    SELECT s.client_id, q.session, q.seq, q.packet_id, m.topic, q.qos, m.payload
    FROM queue q JOIN sessions s ON s.id = q.session LEFT JOIN messages m ON m.id = q.message;
CREATE VIEW retained_messages AS
    SELECT m.topic, m.qos, m.payload, r.version, r.expires_at FROM retained r JOIN messages m ON m.id = r.message;
