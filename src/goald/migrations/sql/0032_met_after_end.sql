-- Goals that are met after the end of an enrollment (E18).

-- For how long after the enrollment, in seconds. NULL: GOALD_LATE after its end.
ALTER TABLE goald.workflow_goals ADD COLUMN conversion_window integer
    CHECK (conversion_window BETWEEN 1 AND 31536000);
-- The time of the event with which the goals of an enrollment were met that had ended.
ALTER TABLE goald.workflow_enrollments ADD COLUMN met_after_end_at timestamptz;
ALTER TABLE goald.workflow_goal_achievements
    ADD COLUMN after_end boolean NOT NULL DEFAULT false;
-- The default serves the previous release, which does not know this column.
ALTER TABLE goald.workflow_days ADD COLUMN met_after_end bigint NOT NULL DEFAULT 0;
GRANT UPDATE (met_after_end_at) ON goald.workflow_enrollments TO goald_shard;

-- How the state of an enrollment is counted, as in migration 0015 and with one more column. A later
-- migration that counts more must keep every column.
DO $do$
DECLARE
    statement_text CONSTANT text := $sql$
        INSERT INTO goald.workflow_days AS d
            (tenant_id, workflow_id, day, bucket, enrolled, completed_goal, completed, exited,
             cancelled, time_to_goal, exits_acknowledged, cancelled_actions, tag_added,
             purchase_made, appointment_booked, form_submitted, pipeline_stage_reached,
             refunded, appointments_cancelled, met_after_end)
        SELECT s.tenant_id, s.workflow_id, goald.counted_day(s.enrolled_at), goald.bucket(),
            sum(sign),
            sum(sign * (s.status = 'completed_goal')::int),
            sum(sign * (s.status = 'completed')::int),
            sum(sign * (s.status = 'exited')::int),
            sum(sign * (s.status = 'cancelled')::int),
            sum(sign * coalesce(goald.time_to_goal(
                s.status, s.enrolled_at, s.last_achieved_at, s.ended_at), 0)),
            sum(sign * (s.exit_acknowledged_at IS NOT NULL)::int),
            sum(sign * coalesce(s.cancelled_actions, 0)),
            sum(sign * (s.met_types & goald.goal_type_bit('tag_added') <> 0)::int),
            sum(sign * (s.met_types & goald.goal_type_bit('purchase_made') <> 0)::int),
            sum(sign * (s.met_types & goald.goal_type_bit('appointment_booked') <> 0)::int),
            sum(sign * (s.met_types & goald.goal_type_bit('form_submitted') <> 0)::int),
            sum(sign * (s.met_types & goald.goal_type_bit('pipeline_stage_reached') <> 0)::int),
            sum(sign * (s.refunded_at IS NOT NULL)::int),
            sum(sign * (s.appointment_cancelled_at IS NOT NULL)::int),
            sum(sign * (s.met_after_end_at IS NOT NULL)::int)
        FROM (%1$s) s GROUP BY 1, 2, 3
        ON CONFLICT (tenant_id, workflow_id, day, bucket) DO UPDATE SET
            enrolled = d.enrolled + excluded.enrolled,
            completed_goal = d.completed_goal + excluded.completed_goal,
            completed = d.completed + excluded.completed,
            exited = d.exited + excluded.exited,
            cancelled = d.cancelled + excluded.cancelled,
            time_to_goal = d.time_to_goal + excluded.time_to_goal,
            exits_acknowledged = d.exits_acknowledged + excluded.exits_acknowledged,
            cancelled_actions = d.cancelled_actions + excluded.cancelled_actions,
            tag_added = d.tag_added + excluded.tag_added,
            purchase_made = d.purchase_made + excluded.purchase_made,
            appointment_booked = d.appointment_booked + excluded.appointment_booked,
            form_submitted = d.form_submitted + excluded.form_submitted,
            pipeline_stage_reached = d.pipeline_stage_reached + excluded.pipeline_stage_reached,
            refunded = d.refunded + excluded.refunded,
            appointments_cancelled = d.appointments_cancelled + excluded.appointments_cancelled,
            met_after_end = d.met_after_end + excluded.met_after_end;

        INSERT INTO goald.workflow_times_to_goal AS t
            (tenant_id, workflow_id, days, day, bucket, step, enrollments)
        SELECT s.tenant_id, s.workflow_id, days, CASE days
                WHEN 1 THEN goald.counted_day(s.enrolled_at)
                ELSE date_trunc('week', goald.counted_day(s.enrolled_at)::timestamp)::date
            END,
            goald.bucket(),
            goald.time_step(goald.time_to_goal(
                s.status, s.enrolled_at, s.last_achieved_at, s.ended_at)),
            sum(sign)
        FROM (%1$s) s CROSS JOIN unnest('{1, 7}'::smallint[]) AS days
        WHERE s.status = 'completed_goal'
        GROUP BY 1, 2, 3, 4, 6 HAVING sum(sign) <> 0
        ON CONFLICT (tenant_id, workflow_id, days, day, bucket, step) DO UPDATE SET
            enrollments = t.enrollments + excluded.enrollments;
    $sql$;
    trigger_function CONSTANT text := $sql$
        CREATE OR REPLACE FUNCTION goald.%1$I() RETURNS trigger
        LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $f$
        BEGIN
            %2$s
            RETURN NULL;
        END
        $f$
    $sql$;
BEGIN
    EXECUTE format(trigger_function, 'count_inserted',
        format(statement_text, 'SELECT 1 AS sign, * FROM added'));
    EXECUTE format(trigger_function, 'count_updated', format(statement_text,
        'SELECT 1 AS sign, * FROM changed_to UNION ALL SELECT -1, * FROM changed_from'));
END
$do$;
