-- +goose Up
-- Who did what: kept as long as the history, in partitions like it.
CREATE TABLE audit (
    id                uuid        PRIMARY KEY,
    at                timestamptz NOT NULL,
    principal         text        NOT NULL,
    request_id        text        NOT NULL,
    action            text        NOT NULL,
    tenant            text        NOT NULL, -- '' for what belongs to none
    resource_type     text        NOT NULL,
    resource_id       text        NOT NULL,
    name              text        NOT NULL,
    generation_before bigint,
    generation_after  bigint
) PARTITION BY RANGE (id);
CREATE INDEX audit_resource ON audit (resource_id, id DESC);
CREATE INDEX audit_principal ON audit (principal, id DESC);
CREATE INDEX audit_tenant ON audit (tenant, id DESC);
INSERT INTO partitioned (name, length) VALUES ('audit', interval '7 days');
SELECT make_partitions('audit', 2);

-- +goose Down
DELETE FROM partitioned WHERE name = 'audit';
DROP TABLE audit;
