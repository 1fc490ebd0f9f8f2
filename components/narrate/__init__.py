"""The narrate step: texts of all users, written to Feast."""
