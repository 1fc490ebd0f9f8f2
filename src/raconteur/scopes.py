"""What an API key may be used for. Which path needs which scope stands in `serving/door/permissions.py`."""

from enum import StrEnum


class Scope(StrEnum):
    RECOMMEND = "recommend"  # ask for recommendations
    EVENTS = "events"  # send feedback and behaviour
    CONSOLE = "console"  # look at users, their histories and how they were answered
    METRICS = "metrics"  # figures and state of the service
    ADMIN = "admin"  # all of these, and whatever no other scope names
