-- Times are milliseconds since 1970-01-01 UTC.
-- Ids of devices stand here once; everything else names them by a small number.
CREATE TABLE devices (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

CREATE TABLE series (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    device BIGINT NOT NULL REFERENCES devices (id),
    dp BIGINT NOT NULL,
    UNIQUE (device, dp)
);

-- Every change. kind: 0 bool, 1 value, 2 bitmap (num); 3 enum, 4 string, 5 raw in base64, 6 JSON (txt).
CREATE TABLE points (
    series BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind SMALLINT NOT NULL,
    num BIGINT,
    txt TEXT,
    PRIMARY KEY (series, at)
);

-- Numbers within a minute (level 0), a quarter of an hour (1), an hour (2), a day (3), all of UTC. mean is over the time
-- that the value was known, which is known milliseconds.
CREATE TABLE rollups (
    level SMALLINT NOT NULL,
    series BIGINT NOT NULL,
    at BIGINT NOT NULL,
    min DOUBLE PRECISION NOT NULL,
    mean DOUBLE PRECISION NOT NULL,
    max DOUBLE PRECISION NOT NULL,
    last DOUBLE PRECISION NOT NULL,
    count BIGINT NOT NULL,
    known BIGINT NOT NULL,
    PRIMARY KEY (level, series, at)
);

-- Series that got changes older than what is rolled up, and the oldest of them.
CREATE TABLE late (
    series BIGINT PRIMARY KEY,
    at BIGINT NOT NULL
);

-- Energy since counting began, in thousandths of a watt hour.
CREATE TABLE energy (
    device BIGINT NOT NULL,
    at BIGINT NOT NULL,
    total BIGINT NOT NULL,
    PRIMARY KEY (device, at)
);

CREATE TABLE events (
    seq BIGINT PRIMARY KEY,
    at BIGINT NOT NULL,
    device BIGINT,
    code TEXT NOT NULL,
    txt TEXT NOT NULL
);

CREATE INDEX events_of_device ON events (device, seq);

-- What the hub wants back after a restart, JSON.
CREATE TABLE saved (
    device BIGINT PRIMARY KEY,
    txt TEXT NOT NULL
);

-- last: number of the last change. rolled: everything before is rolled up. floor_raw, floor_0, floor_1: what is older was
-- forgotten. thinned: energy before keeps one row for a quarter of an hour. forgot: when it was last forgotten.
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
