"""Raconteur turns interaction logs into language that a recommender model can reason over."""

__version__ = "0.1.0"
