import io

import pytest
from rich.console import Console

from raconteur.errors import ServingError
from serving.client import recommend, show

ANSWER = {
    "request_id": "r1",
    "user_id": "u[red]",
    "items": [
        {"item_id": "i1", "title": "[bold]Heat[/bold]", "score": 1.25, "source": "sequential"},
        {"item_id": "i2", "title": "Alien", "score": None, "source": "sequential"},
    ],
    "route": "student",
    "reason": "margin 0.400 is at least 0.01, uncalibrated",
    "degraded": True,
    "versions": {"model": "v1"},
    "latency_ms": 3.21,
}


def test_show_titles_are_text_and_never_markup():
    console = Console(file=io.StringIO(), width=160)
    console.print(show(ANSWER))
    text = console.file.getvalue()
    assert "[bold]Heat[/bold]" in text
    assert "user u[red]" in text
    assert "1.250" in text
    assert "route student, degraded: margin 0.400" in text


@pytest.mark.parametrize("address", ["http://127.0.0.1:1", "no address", "http://[broken"])
def test_recommend_nobody_answers_says_how_to_start_it(address):
    with pytest.raises(ServingError, match="start it with `raconteur serve`"):
        recommend(address, "u1", 3, timeout_s=2)
