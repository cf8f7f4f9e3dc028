"""A job as one self-contained HTML page: timelines, tracks, quality, failures, models and limits."""
