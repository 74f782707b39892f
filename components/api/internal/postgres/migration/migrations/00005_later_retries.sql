-- +goose Up
-- Retries that an adapter asked for while something earlier was to wake the
-- resource; NULL = none. The previous version's code leaves it as it is.
ALTER TABLE schedule ADD COLUMN later timestamptz[];
ALTER TABLE nodepool_schedule ADD COLUMN later timestamptz[];

-- +goose Down
ALTER TABLE nodepool_schedule DROP COLUMN later;
ALTER TABLE schedule DROP COLUMN later;
