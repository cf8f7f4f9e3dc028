"""How commands show progress and results on a terminal."""
