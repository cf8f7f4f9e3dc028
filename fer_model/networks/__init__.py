"""Which networks there are, and how they are loaded, imported and downloaded."""
