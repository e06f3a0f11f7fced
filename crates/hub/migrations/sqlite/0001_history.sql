-- Times are milliseconds since 1970-01-01 UTC.
-- Ids of devices stand here once; everything else names them by a small number.
CREATE TABLE devices (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE series (
    id INTEGER PRIMARY KEY,
    device INTEGER NOT NULL REFERENCES devices (id),
    dp INTEGER NOT NULL,
    UNIQUE (device, dp)
) STRICT;

-- Every change. kind: 0 bool, 1 value, 2 bitmap (num); 3 enum, 4 string, 5 raw in base64, 6 JSON (txt).
CREATE TABLE points (
    series INTEGER NOT NULL,
    at INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    num INTEGER,
    txt TEXT,
    PRIMARY KEY (series, at)
) STRICT, WITHOUT ROWID;

-- Numbers within a minute (level 0), a quarter of an hour (1), an hour (2), a day (3), all of UTC. mean is over the time
-- that the value was known, which is known milliseconds.
CREATE TABLE rollups (
    level INTEGER NOT NULL,
    series INTEGER NOT NULL,
    at INTEGER NOT NULL,
    min REAL NOT NULL,
    mean REAL NOT NULL,
    max REAL NOT NULL,
    last REAL NOT NULL,
    count INTEGER NOT NULL,
    known INTEGER NOT NULL,
    PRIMARY KEY (level, series, at)
) STRICT, WITHOUT ROWID;

-- Series that got changes older than what is rolled up, and the oldest of them.
CREATE TABLE late (
    series INTEGER PRIMARY KEY,
    at INTEGER NOT NULL
) STRICT;

-- Energy since counting began, in thousandths of a watt hour.
CREATE TABLE energy (
    device INTEGER NOT NULL,
    at INTEGER NOT NULL,
    total INTEGER NOT NULL,
    PRIMARY KEY (device, at)
) STRICT, WITHOUT ROWID;

CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    device INTEGER,
    code TEXT NOT NULL,
    txt TEXT NOT NULL
) STRICT;

CREATE INDEX events_of_device ON events (device, seq);

-- What the hub wants back after a restart, JSON.
CREATE TABLE saved (
    device INTEGER PRIMARY KEY,
    txt TEXT NOT NULL
) STRICT;

-- last: number of the last change. rolled: everything before is rolled up. floor_raw, floor_0, floor_1: what is older was
-- forgotten. thinned: energy before keeps one row for a quarter of an hour. forgot: when it was last forgotten.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
