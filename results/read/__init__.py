"""Questions to the database: timelines, exports, reports."""
