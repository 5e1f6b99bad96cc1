-- The sandbox's clock: by how many microseconds business time is ahead of process time, the same for all processes.
-- It only ever grows: business time never goes back.

CREATE TABLE sandbox_clock (
    id BIGINT NOT NULL PRIMARY KEY,
    ahead_us BIGINT NOT NULL,
    CONSTRAINT sandbox_clock_single CHECK (id = 1),
    CONSTRAINT sandbox_clock_ahead CHECK (0 <= ahead_us)
) /*sqlite: WITHOUT ROWID */;

INSERT INTO sandbox_clock (id, ahead_us) VALUES (1, 0);
