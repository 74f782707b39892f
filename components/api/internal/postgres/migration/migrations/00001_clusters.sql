-- +goose Up
-- What was decided once for this database.
CREATE TABLE settings (
    name  text PRIMARY KEY,
    value text NOT NULL
);

-- Resources. A report rewrites only status and reports_version, which no index
-- names, so that with room on the page the update is heap-only (HOT).
CREATE TABLE clusters (
    id              uuid        PRIMARY KEY,
    tenant          text        NOT NULL,
    name            text        NOT NULL,
    spec            jsonb       NOT NULL,
    status          jsonb       NOT NULL,
    labels          jsonb       NOT NULL,
    generation      bigint      NOT NULL,
    desired_version bigint      NOT NULL, -- m<n> of the resource version
    reports_version bigint      NOT NULL, -- s<n> of the resource version
    created_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    deleted_at      timestamptz,
    touched_at      timestamptz NOT NULL -- last write of any kind: moments of a row never repeat
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX clusters_name ON clusters (tenant, name) WHERE deleted_at IS NULL;
CREATE INDEX clusters_labels ON clusters USING gin (labels jsonb_path_ops);

-- History. Ids are in the order of time, so newest first needs no other column.
CREATE TABLE statuses (
    id                   uuid        PRIMARY KEY,
    cluster_id           uuid        NOT NULL REFERENCES clusters (id),
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
CREATE INDEX statuses_newest ON statuses (cluster_id, id DESC);
CREATE INDEX statuses_adapter ON statuses (cluster_id, adapter_name, id DESC);

-- Each adapter's latest report in full; clusters.status has it in short.
CREATE TABLE adapter_reports (
    cluster_id   uuid NOT NULL REFERENCES clusters (id),
    adapter_name text NOT NULL,
    status_id    uuid NOT NULL,
    message      text NOT NULL,
    data         jsonb NOT NULL,
    PRIMARY KEY (cluster_id, adapter_name)
) WITH (fillfactor = 85);

-- What "is it due?" needs, and nothing else; tombstones are not in it.
CREATE TABLE schedule (
    id              uuid        PRIMARY KEY REFERENCES clusters (id),
    shard_key       text        NOT NULL, -- value of the shard-key label, '' where absent
    ready           boolean     NOT NULL,
    base            timestamptz NOT NULL,
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
CREATE INDEX schedule_due ON schedule (shard_key, ready, base, id)
    INCLUDE (generation, phase, transitioned_at, wakes, wake_at) WITH (fillfactor = 80);
CREATE INDEX schedule_woken ON schedule (shard_key, wake_at, id)
    INCLUDE (generation, phase, transitioned_at, wakes, wake_reason) WITH (fillfactor = 80)
    WHERE wake_at IS NOT NULL;

-- +goose Down
DROP TABLE schedule, adapter_reports, statuses, clusters, settings;
