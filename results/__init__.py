"""The database: tables, sessions, idempotent writes and timeline queries. Knows no queue and no model."""
