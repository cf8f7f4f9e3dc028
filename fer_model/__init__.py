"""The science: frames in, faces with emotions out. Knows no Celery and no SQL."""
