"""A job as one HTML page that needs nothing beside it: timelines, tracks, quality, failures, models and limits."""

from results.read.report.page import write_report as write_report
