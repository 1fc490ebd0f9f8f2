from datetime import UTC, datetime

import polars as pl
import pytest

from raconteur.cli.show import print_events, print_figures
from raconteur.errors import DataError


@pytest.fixture
def data(tmp_path):
    rows = {
        "user_id": ["u1", "u1", "u2"],
        "item_id": ["i1", "i2", "i1"],
        "event_time": [datetime(2026, 1, day, tzinfo=UTC) for day in (1, 2, 3)],
        "event_type": ["play", "trailer", "play"],
        "value": [42.5, None, 7.0],
    }
    pl.DataFrame(rows).write_parquet(tmp_path / "events.parquet")
    pl.DataFrame({"item_id": ["i1", "i2"], "title": ["[red]Heat[/red]", "Up"]}).write_parquet(
        tmp_path / "items.parquet"
    )
    return tmp_path


def test_print_events_shows_a_users_own_in_order_and_markup_as_text(data, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")
    print_events(data, "u1")
    shown = capsys.readouterr().out
    assert "newest events of u1 (2 in all)" in shown
    assert "[red]Heat[/red]" in shown  # a title is data, never markup
    assert shown.index("Heat") < shown.index("Up")
    assert "2026-01-03" not in shown


def test_print_events_unknown_user_is_a_data_error(data):
    with pytest.raises(DataError, match="no user 'nobody'"):
        print_events(data, "nobody")


def test_print_figures_inner_counts_get_rows_of_their_own(capsys):
    print_figures("data", {"num_events": 1234567, "quarantine": {"events": {"unknown item": 3}}, "share": 0.25})
    shown = capsys.readouterr().out
    assert "1,234,567" in shown
    assert "quarantine events unknown item" in shown
    assert "0.25" in shown
