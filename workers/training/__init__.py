"""Training runs as queued jobs."""
