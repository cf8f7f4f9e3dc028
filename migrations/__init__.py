"""Alembic migrations; `results.database.upgrade` runs them."""
