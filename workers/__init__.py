"""The distributed system: settings, Celery app, planning, shard processing, the local stack."""
