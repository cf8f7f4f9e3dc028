"""The database: tables, sessions, fenced writes, timeline queries and exports. Imports no queue and no model.

`results.read_faces` is the public function for notebooks.
"""

from results.read.notebooks import read_faces as read_faces
