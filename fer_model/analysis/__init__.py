"""Frames in, faces with emotions out: the analyser and its stages."""
