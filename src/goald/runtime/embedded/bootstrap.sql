-- The daemon's login and database, made on the first start; running it again changes nothing.

-- No superuser: superusers pass even forced row-level security. It makes the three roles of
-- the schema when it migrates, and may then become each of them (SET ROLE): Postgres 16 and
-- newer grant that to a role's maker only where createrole_self_grant says so. It does not
-- inherit their rights: what it does, it does as one of them.
SELECT 'CREATE ROLE goald LOGIN CREATEROLE'
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'goald') \gexec

ALTER ROLE goald SET createrole_self_grant = 'set';

SELECT 'CREATE DATABASE goald OWNER goald'
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'goald') \gexec
