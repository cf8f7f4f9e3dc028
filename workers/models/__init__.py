"""The catalogue of models and the store of their weights."""
