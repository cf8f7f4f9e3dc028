"""The database: tables, sessions, idempotent writes, timeline queries and exports. Knows no queue and no model."""

from results.read.notebooks import read_faces as read_faces
