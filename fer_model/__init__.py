"""The model: frames in, faces with emotions out. Imports neither Celery nor SQL."""
