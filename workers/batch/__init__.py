"""Batch jobs: submitting, planning, processing shards, finishing."""
