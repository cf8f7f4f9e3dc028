"""Live sources: cameras and network streams, which push, break off and come back."""
