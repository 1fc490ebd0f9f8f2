"""Asks a running recommender. `python -m serving.client --address URL --user ID -k N` prints the answer for people."""

import argparse
import os
import sys
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from raconteur.errors import RaconteurError, ServingError

KEY = "RACONTEUR_KEY"  # environment: the token of an API key, where the service asks for one


def recommend(address: str, user_id: str, k: int, *, timeout_s: float = 10.0) -> dict[str, Any]:
    """The answer of `POST /v1/recommendations`, see /docs of the service.

    Raises:
        ServingError: the service cannot be reached in time, or refuses the request.
    """
    try:
        key = os.environ.get(KEY)
        response = httpx.post(
            f"{address.rstrip('/')}/v1/recommendations",
            json={"user_id": user_id, "k": k},
            headers={"x-api-key": key} if key else {},
            timeout=timeout_s,
        )
        body = response.json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ServingError(f"{address} gave no answer ({error}); start it with `raconteur serve`") from None
    if response.status_code != 200 or not isinstance(body, dict):
        raise ServingError(f"{address} refused the request with status {response.status_code}: {str(body)[:300]}")
    return body


def show(answer: dict[str, Any]) -> Table:
    """The answer as a table; ids and titles are text of a catalogue, so nothing in them is markup."""
    table = Table(title=escape(f"user {answer['user_id']}"), title_justify="left")
    for name, side in (("#", "right"), ("item", "left"), ("title", "left"), ("score", "right"), ("source", "left")):
        table.add_column(name, justify=side)  # type: ignore[arg-type]
    for rank, item in enumerate(answer["items"], start=1):
        score = "" if item["score"] is None else f"{item['score']:.3f}"
        table.add_row(str(rank), escape(item["item_id"]), escape(item["title"]), score, escape(item["source"]))
    degraded = ", degraded" if answer["degraded"] else ""
    table.caption = escape(
        f"route {answer['route']}{degraded}: {answer['reason']}; model {answer['versions']['model']}; "
        f"{answer['latency_ms']:.1f} ms; request {answer['request_id']}"
    )
    return table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m serving.client", description="Asks a running recommender.")
    parser.add_argument("--address", default="http://127.0.0.1:8800")
    parser.add_argument("--user", required=True)
    parser.add_argument("-k", type=int, default=5)
    options = parser.parse_args()
    try:
        Console().print(show(recommend(options.address, options.user, options.k)))
    except RaconteurError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
