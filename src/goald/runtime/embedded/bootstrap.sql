-- The login and the database of the daemon, created on the first start. Running it again changes
-- nothing.

-- The login is not a superuser, because superusers bypass even forced row-level security. It
-- creates the three roles of the schema when it migrates, and then needs SET ROLE for each of them:
-- Postgres 16 and newer grant that to the creator only with createrole_self_grant. It does
-- not inherit the rights of the roles, so every statement runs as one of them.
SELECT 'CREATE ROLE goald LOGIN CREATEROLE'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'goald') \gexec

ALTER ROLE goald SET createrole_self_grant = 'set';

SELECT 'CREATE DATABASE goald OWNER goald'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'goald') \gexec
