-- +goose Up
-- Adds only, each column with a default that is true of what the previous
-- version's code stores: both versions serve while an update rolls out.
ALTER TABLE clusters
    ADD COLUMN owner_id            uuid,                           -- of what it belongs to; clusters to nothing
    ADD COLUMN paused              boolean NOT NULL DEFAULT false,
    ADD COLUMN deletion_protection boolean NOT NULL DEFAULT false,
    ADD COLUMN deletion_at         timestamptz,                    -- when deletion started
    ADD COLUMN worked              boolean NOT NULL DEFAULT true;  -- an adapter ever reported more than Pending: Jobs may be there

-- The same tables once more for node pools.
CREATE TABLE nodepools (
    id                  uuid        PRIMARY KEY,
    owner_id            uuid        NOT NULL REFERENCES clusters (id),
    tenant              text        NOT NULL,
    name                text        NOT NULL,
    spec                jsonb       NOT NULL,
    status              jsonb       NOT NULL,
    labels              jsonb       NOT NULL,
    paused              boolean     NOT NULL,
    deletion_protection boolean     NOT NULL,
    worked              boolean     NOT NULL,
    generation          bigint      NOT NULL,
    desired_version     bigint      NOT NULL,
    reports_version     bigint      NOT NULL,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    deletion_at         timestamptz,
    deleted_at          timestamptz,
    touched_at          timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX nodepools_name ON nodepools (tenant, name) WHERE deleted_at IS NULL;
CREATE INDEX nodepools_labels ON nodepools USING gin (labels jsonb_path_ops);
CREATE INDEX nodepools_owner ON nodepools (owner_id, id);

CREATE TABLE nodepool_statuses (
    id                   uuid        PRIMARY KEY,
    nodepool_id          uuid        NOT NULL REFERENCES nodepools (id),
    adapter_name         text        NOT NULL,
    phase                text        NOT NULL,
    message              text        NOT NULL,
    data                 jsonb       NOT NULL,
    observed_generation  bigint      NOT NULL,
    attempt              integer     NOT NULL,
    attempt_base         integer     NOT NULL,
    retry_at             timestamptz,
    checked_at           timestamptz,
    last_transition_time timestamptz NOT NULL,
    reports              bigint      NOT NULL,
    created_at           timestamptz NOT NULL,
    last_reported_at     timestamptz NOT NULL
) WITH (fillfactor = 85);
CREATE INDEX nodepool_statuses_newest ON nodepool_statuses (nodepool_id, id DESC);
CREATE INDEX nodepool_statuses_adapter ON nodepool_statuses (nodepool_id, adapter_name, id DESC);

CREATE TABLE nodepool_reports (
    nodepool_id  uuid NOT NULL REFERENCES nodepools (id),
    adapter_name text NOT NULL,
    status_id    uuid NOT NULL,
    message      text NOT NULL,
    data         jsonb NOT NULL,
    PRIMARY KEY (nodepool_id, adapter_name)
) WITH (fillfactor = 85);

CREATE TABLE nodepool_schedule (
    id              uuid        PRIMARY KEY REFERENCES nodepools (id),
    shard_key       text        NOT NULL,
    ready           boolean     NOT NULL,
    base            timestamptz NOT NULL, -- 'infinity' = parked: paused, or waiting for what it owns
    wake_at         timestamptz,
    wake_reason     text,
    wakes           bigint      NOT NULL,
    repeat          smallint    NOT NULL,
    generation      bigint      NOT NULL,
    phase           text        NOT NULL,
    transitioned_at timestamptz NOT NULL,
    labels          jsonb       NOT NULL
) WITH (
    fillfactor = 80,
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_insert_scale_factor = 0.01,
    autovacuum_vacuum_insert_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.02,
    autovacuum_vacuum_cost_delay = 0
);
CREATE INDEX nodepool_schedule_due ON nodepool_schedule (shard_key, ready, base, id)
    INCLUDE (generation, phase, transitioned_at, wakes, wake_at) WITH (fillfactor = 80);
CREATE INDEX nodepool_schedule_woken ON nodepool_schedule (shard_key, wake_at, id)
    INCLUDE (generation, phase, transitioned_at, wakes, wake_reason) WITH (fillfactor = 80)
    WHERE wake_at IS NOT NULL;

-- What adapters say of themselves; one row per running configuration.
CREATE TABLE adapters (
    name               text        NOT NULL,
    instance           text        NOT NULL,
    resource_types     text[]      NOT NULL,
    dependencies       text[]      NOT NULL,
    has_deletion       boolean     NOT NULL,
    version            text        NOT NULL,
    dead_letters       bigint      NOT NULL,
    oldest_dead_letter timestamptz,
    updated_at         timestamptz NOT NULL,
    PRIMARY KEY (name, instance)
);

-- +goose Down
DROP TABLE adapters, nodepool_schedule, nodepool_reports, nodepool_statuses, nodepools;
ALTER TABLE clusters DROP COLUMN owner_id, DROP COLUMN paused, DROP COLUMN deletion_protection, DROP COLUMN deletion_at, DROP COLUMN worked;
