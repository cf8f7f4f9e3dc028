"""The checks of `doctor` and the measurements of `bench`."""
