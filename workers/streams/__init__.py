"""Live streams: the hub of a worker's process, which serves many at once."""
