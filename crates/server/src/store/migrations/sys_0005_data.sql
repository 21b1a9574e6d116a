-- What a column will be while a job changes it, as JSON: who writes meanwhile obeys both.
alter table sys.columns add column becoming {text};
