"""Celery on Redis: the application, the broker, dispatching, and the local stack."""
