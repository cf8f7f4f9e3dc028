"""Labelled faces and photographs, read from their published formats."""
