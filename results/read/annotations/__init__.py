"""A video's tracks and markers in the formats of programs that annotate behaviour: ELAN, Praat and BORIS."""
