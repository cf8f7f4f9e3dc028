"""Leases on shards: claim, heartbeat, fenced commit."""
