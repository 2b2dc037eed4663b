-- A record is digested in one way everywhere now (names of headers included), so what a position remembers of the
-- record before it no longer compares. It remembers again with its next batch.
update positions set last_offset = null, last_timestamp_ms = null, last_hash = null;
