"""What doctor and bench look at."""
