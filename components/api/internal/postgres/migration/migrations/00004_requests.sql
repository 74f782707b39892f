-- +goose Up
-- Answers to requests that may be sent again under their Idempotency-Key.
CREATE TABLE idempotency_keys (
    tenant     text        NOT NULL,
    principal  text        NOT NULL,
    route      text        NOT NULL,
    key        text        NOT NULL,
    request    bytea       NOT NULL, -- SHA-256 of the body
    answer     text,                 -- the resource as JSON; NULL only within the transaction that makes it
    expires_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, principal, route, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

-- Who publishes which part of the fleet.
CREATE TABLE shards (
    name          text        PRIMARY KEY,
    holder        text        NOT NULL,
    resource_type text        NOT NULL,
    selector      text        NOT NULL,
    not_ready     bigint      NOT NULL, -- backoffs and intervals in microseconds
    ready         bigint      NOT NULL,
    poll_interval bigint      NOT NULL,
    registered_at timestamptz NOT NULL, -- when the holder came
    renewed_at    timestamptz NOT NULL
) WITH (fillfactor = 80);

-- How the shards divide each resource type, as last computed by any replica.
CREATE TABLE coverage (
    resource_type text        PRIMARY KEY,
    as_of         timestamptz NOT NULL,
    answer        text        NOT NULL -- JSON
);

-- +goose Down
DROP TABLE coverage, shards, idempotency_keys;
