-- How the last activation treats the steps that had become due before it (X7). NULL: there were none.
ALTER TABLE goald.workflows
    ADD overdue text COLLATE "C" CHECK (overdue IN ('run', 'skip', 'cancel')),
    ADD activated_at timestamptz;
