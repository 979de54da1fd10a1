-- Criteria may have two ids and a name. With the ids of tenant and workflow they exceed the 2,704
-- bytes of an index entry, so the index has their hash of 64 bits, which is that of the values:
-- 1.0 equals 1.00. A workflow has at most 3 goals, so that two of them never collide in practice.
DROP INDEX goald.workflow_goals_criteria;
CREATE UNIQUE INDEX workflow_goals_criteria
    ON goald.workflow_goals (tenant_id, workflow_id, goal_type, jsonb_hash_extended(criteria, 0))
    WHERE deleted_at IS NULL;
