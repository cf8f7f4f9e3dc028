"""Labelled faces and photographs, read from the formats they are published in."""
