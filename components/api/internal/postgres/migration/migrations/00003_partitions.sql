-- +goose NO TRANSACTION
-- Every statement may run again: what a crash interrupted is finished next time.

-- +goose Up
-- The tables that are partitioned by the time in their ids, which are UUIDs of
-- version 7, and how long a partition is.
CREATE TABLE IF NOT EXISTS partitioned (
    name   text     PRIMARY KEY,
    length interval NOT NULL CHECK (length >= interval '1 second')
);

-- first_id is the smallest id of a moment: no id of an earlier one reaches it.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION first_id(at timestamptz) RETURNS uuid
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
AS $$ SELECT (lpad(to_hex(floor(extract(epoch FROM at) * 1000)::bigint), 12, '0') || '00000000000000000000')::uuid $$;
-- +goose StatementEnd

-- id_moment is the moment, to the millisecond, at which an id was made.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION id_moment(id uuid) RETURNS timestamptz
    LANGUAGE sql STABLE STRICT PARALLEL SAFE
AS $$ SELECT to_timestamp((('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint) / 1000.0) $$;
-- +goose StatementEnd

-- What there is: from_at is NULL where a partition has no beginning.
CREATE OR REPLACE VIEW partitions AS
SELECT parent.relname::text AS parent, child.relname::text AS name,
    id_moment(substring(bounds.text FROM $$FROM \('([0-9a-f-]{36})'\)$$)::uuid) AS from_at,
    id_moment(substring(bounds.text FROM $$TO \('([0-9a-f-]{36})'\)$$)::uuid) AS until_at
FROM partitioned
JOIN pg_catalog.pg_class parent ON parent.oid = to_regclass('public.' || quote_ident(partitioned.name))
JOIN pg_catalog.pg_inherits ON inhparent = parent.oid
JOIN pg_catalog.pg_class child ON child.oid = inhrelid
CROSS JOIN LATERAL (SELECT pg_get_expr(child.relpartbound, child.oid) AS text) bounds;

-- make_partitions sees to it that so many partitions of a table lie wholly in
-- the future, and says how many it made; -1 when another session is at it. A
-- partition reaches to the next multiple of the length; where nobody made any
-- for long, one fills the gap. It is made beside the table and attached, which
-- hinders no reader and, for a moment, writers of the tables referred to. Like
-- the other function that runs as its owner, it finds nothing in a schema where
-- others might create functions: one that fits a call more exactly would run.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION make_partitions(parent text, ahead integer) RETURNS integer
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '500ms'
AS $$
DECLARE
    step interval;
    made integer := 0;
    child text;
    from_at timestamptz;
    until_at timestamptz;
BEGIN
    SELECT p.length INTO step FROM public.partitioned p WHERE p.name = parent;
    IF NOT FOUND OR ahead NOT BETWEEN 1 AND 100 THEN
        RAISE EXCEPTION 'make_partitions: % is not a partitioned table, or % not between 1 and 100', parent, ahead;
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtext('hyperfleet partitions'), hashtext(parent)) THEN
        RETURN -1;
    END IF;
    WHILE (SELECT count(*) FROM public.partitions p WHERE p.parent = make_partitions.parent AND p.from_at > clock_timestamp()) < ahead LOOP
        SELECT max(p.until_at) INTO from_at FROM public.partitions p WHERE p.parent = make_partitions.parent;
        until_at := date_bin(step, greatest(from_at, clock_timestamp()), timestamptz '2001-01-01 00:00:00+00') + step;
        child := parent || '_' || coalesce(to_char(from_at AT TIME ZONE 'UTC', 'YYYYMMDD_HH24MISS'), 'first');
        EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING DEFAULTS INCLUDING CONSTRAINTS) WITH (fillfactor = 85)', child, parent);
        EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%s) TO (%L)',
            parent, child, coalesce(quote_literal(public.first_id(from_at)), 'MINVALUE'), public.first_id(until_at));
        made := made + 1;
    END LOOP;
    RETURN made;
END $$;
-- +goose StatementEnd

-- drop_expired_partition drops the oldest partition of a table if all of it is
-- older than the retention, and returns its name, else NULL. Locks are taken
-- in the order in which writers take them, and given up soon.
-- +goose StatementBegin
CREATE OR REPLACE FUNCTION drop_expired_partition(parent text, retention interval) RETURNS text
    LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET lock_timeout = '500ms'
AS $$
DECLARE
    step interval;
    child text;
    referred regclass;
BEGIN
    SELECT p.length INTO step FROM public.partitioned p WHERE p.name = parent;
    IF NOT FOUND OR retention < step THEN
        RAISE EXCEPTION 'drop_expired_partition: % is not a partitioned table, or a retention of % is shorter than one partition', parent, retention;
    END IF;
    IF NOT pg_try_advisory_xact_lock(hashtext('hyperfleet partitions'), hashtext(parent)) THEN
        RETURN NULL;
    END IF;
    SELECT p.name INTO child FROM public.partitions p
        WHERE p.parent = drop_expired_partition.parent AND p.until_at <= clock_timestamp() - retention
        ORDER BY p.until_at LIMIT 1;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    FOR referred IN SELECT confrelid::regclass FROM pg_constraint
        WHERE conrelid = to_regclass('public.' || quote_ident(parent)) AND contype = 'f' ORDER BY 1
    LOOP
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', referred);
    END LOOP;
    EXECUTE format('LOCK TABLE ONLY public.%I IN ACCESS EXCLUSIVE MODE', parent);
    EXECUTE format('DROP TABLE public.%I', child);
    RETURN child;
END $$;
-- +goose StatementEnd

REVOKE EXECUTE ON FUNCTION make_partitions(text, integer), drop_expired_partition(text, interval) FROM PUBLIC;

-- partition_history makes a table of reports, as it is, the first partition of
-- one that has its name; owner is the column that refers to the resources. New
-- rows keep to the partition's end, which is a whole length ahead, before the
-- old ones are checked to do so too; the swap itself then reads nothing.
-- +goose StatementBegin
CREATE OR REPLACE PROCEDURE partition_history(history text, owner text, resources text)
    LANGUAGE plpgsql
AS $$
DECLARE
    step CONSTANT interval := interval '7 days';
    until uuid := first_id(date_bin(step, clock_timestamp(), timestamptz '2001-01-01 00:00:00+00') + 2 * step);
    bound CONSTANT text := history || '_until';
    suffix text;
BEGIN
    IF (SELECT relkind FROM pg_class WHERE oid = ('public.' || history)::regclass) <> 'r' THEN
        RETURN; -- it was done before
    END IF;
    EXECUTE pg_catalog.format('ALTER TABLE public.%I DROP CONSTRAINT IF EXISTS %I', history, bound);
    EXECUTE pg_catalog.format('ALTER TABLE public.%I ADD CONSTRAINT %I CHECK (id < %L) NOT VALID', history, bound, until);
    COMMIT;
    EXECUTE pg_catalog.format('ALTER TABLE public.%I VALIDATE CONSTRAINT %I', history, bound);
    COMMIT;
    EXECUTE pg_catalog.format('LOCK TABLE public.%I, public.%I IN ACCESS EXCLUSIVE MODE', resources, history);
    EXECUTE pg_catalog.format('ALTER TABLE public.%I RENAME TO %I', history, history || '_first');
    FOREACH suffix IN ARRAY ARRAY['pkey', 'newest', 'adapter'] LOOP
        EXECUTE pg_catalog.format('ALTER INDEX public.%I RENAME TO %I', history || '_' || suffix, history || '_first_' || suffix);
    END LOOP;
    EXECUTE pg_catalog.format('CREATE TABLE public.%I (LIKE public.%I, PRIMARY KEY (id), CONSTRAINT %I FOREIGN KEY (%I) REFERENCES public.%I (id)) PARTITION BY RANGE (id)',
        history, history || '_first', history || '_' || owner || '_fkey', owner, resources);
    EXECUTE pg_catalog.format('CREATE INDEX %I ON public.%I (%I, id DESC)', history || '_newest', history, owner);
    EXECUTE pg_catalog.format('CREATE INDEX %I ON public.%I (%I, adapter_name, id DESC)', history || '_adapter', history, owner);
    EXECUTE pg_catalog.format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (MINVALUE) TO (%L)', history, history || '_first', until);
    EXECUTE pg_catalog.format('ALTER TABLE public.%I DROP CONSTRAINT %I', history || '_first', bound);
    INSERT INTO public.partitioned (name, length) VALUES (history, step) ON CONFLICT DO NOTHING;
    COMMIT;
END $$;
-- +goose StatementEnd
CALL partition_history('statuses', 'cluster_id', 'clusters');
CALL partition_history('nodepool_statuses', 'nodepool_id', 'nodepools');
DROP PROCEDURE partition_history(text, text, text);
SELECT make_partitions(name, 2) FROM partitioned;

-- Tombstones are found by their age; there are few of them in the index.
CREATE INDEX CONCURRENTLY IF NOT EXISTS clusters_tombstones ON clusters (deleted_at) WHERE deleted_at IS NOT NULL;
CREATE INDEX CONCURRENTLY IF NOT EXISTS nodepools_tombstones ON nodepools (deleted_at) WHERE deleted_at IS NOT NULL;

-- +goose Down
-- +goose StatementBegin
DO $$
BEGIN
    RAISE EXCEPTION 'partitions are not taken back: restore a backup';
END $$;
-- +goose StatementEnd
