"""The features step: tables, Feast registry, online rows and the point-in-time training set."""
