-- The types and sources that the provider of a webhook may send. The previous release ignores both columns: rows that
-- it writes get the default, as existing rows do.
ALTER TABLE goald.webhook_secrets
    ADD COLUMN types text[] NOT NULL DEFAULT ARRAY[
        'appointment.booked', 'contact.tag.added', 'form.submitted', 'payment.completed',
        'pipeline.stage.changed'],
    -- NULL: any source.
    ADD COLUMN sources text[];
