from raconteur.represent.recent import append_recent


def test_append_recent_only_events_after_the_narrative_are_added(evening):
    text = append_recent("likes drama .", evening.events, as_of=evening.events[-2].event_time)
    assert text == "likes drama . 0d play 44 tv S1E2 <item:1>"


def test_append_recent_nothing_newer_leaves_the_text(evening):
    assert append_recent("likes drama .", evening.events, as_of=evening.events[-1].event_time) == "likes drama ."


def test_append_recent_without_narrative_writes_all_events_oldest_first(evening):
    text = append_recent("", evening.events[::-1], as_of=None)
    assert text.startswith("1d play 43 tv <item:1> ")
    assert text.count("<item:") == 5
