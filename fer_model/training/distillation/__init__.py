"""Cross-fitted teachers and the two pupils they teach, in a given time on one device."""
