"""The console: one page for people, and what it asks for beyond the endpoints of applications.

The page and its assets hold no data and need no key; the rest does, like every other call under /v1. All of it is read
from an `Inspectable`, which the open service is.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Protocol

import polars as pl
from fastapi import APIRouter, HTTPException, Query, Response
from fastapi import Path as PathPart

from raconteur.columns import USER_ID
from raconteur.config.schema import Config
from raconteur.errors import ServingError
from raconteur.features.names import USER_TABLE
from raconteur.features.rules import Rules
from raconteur.features.state import UserState
from raconteur.represent.mentions import mentioned
from raconteur.represent.recent import MAX_RECENT, append_recent, newer_than
from raconteur.types import Event
from serving.door.console_schema import (
    Categories,
    Category,
    Controls,
    Inspection,
    LoggedEvent,
    Mark,
    Status,
    UserIds,
    UserView,
)
from serving.door.headers import PAGE_POLICY
from serving.schema import RecommendRequest

FOLDER = Path(__file__).parent / "console"
MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
HEADERS = {
    # Stricter than other pages: no way for a text to become markup, not even by a mistake in a script.
    "Content-Security-Policy": f"{PAGE_POLICY}; require-trusted-types-for 'script'; trusted-types 'none'",
    "Cache-Control": "no-cache",
}
REFUSED = "refused"  # type of the event by which the console says: not for me
MAX_USERS = 200_000  # ids that are kept for the search, the first in order; any other id can be typed
MAX_LISTED = 100
MAX_CATEGORIES = 500
MAX_ID_CHARS = 512


class Inspectable(Protocol):
    """What the console needs of the service."""

    @property
    def config(self) -> Config: ...

    @property
    def titles(self) -> Mapping[str, str]:
        """Of the catalogue that serves, by item id."""
        ...

    @property
    def categories(self) -> Mapping[str, Sequence[str]]: ...

    async def inspect(self, request: RecommendRequest) -> Inspection:
        """The answer that `recommend` would give, and the scores of both rankers; a failure of one is in its record."""
        ...

    async def state(self, user_id: str) -> UserState | None:
        """None for a user that the store does not know.

        Raises:
            ServingError: the store does not answer.
        """
        ...

    def status(self) -> Status: ...


def console_router(service: Inspectable) -> APIRouter:
    router, rules = APIRouter(), Rules.of(service.config)
    known_users = UserTable(service.config.workdir / "features" / f"{USER_TABLE}.parquet")
    files = {path.name: path.read_bytes() for path in sorted(FOLDER.iterdir()) if path.suffix in MEDIA_TYPES}

    @router.get("/console", include_in_schema=False)
    async def page() -> Response:
        return _file("index.html", files)

    @router.get("/console/assets/{name}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in files:
            raise HTTPException(404, "the console has no such file")
        return _file(name, files)

    @router.get("/v1/users", tags=["console"])
    def users(
        prefix: Annotated[str, Query(max_length=MAX_ID_CHARS)] = "",
        limit: Annotated[int, Query(ge=1, le=MAX_LISTED)] = 20,
    ) -> UserIds:
        """Ids of the feature table. Users who came after the last batch build are known, but not listed."""
        return known_users.find(prefix, limit)

    @router.get("/v1/users/{user_id:path}", tags=["console"])
    async def user(user_id: Annotated[str, PathPart(min_length=1, max_length=MAX_ID_CHARS)]) -> UserView:
        """The newest events of the user as they were logged, and the narrative that stands for them."""
        state = await service.state(user_id)
        if state is None:
            raise HTTPException(404, "the feature store does not know this user")
        return user_view(state, titles=service.titles, rules=rules)

    @router.get("/v1/catalogue/categories", tags=["console"])
    def categories() -> Categories:
        counts = Counter(name for names in service.categories.values() for name in set(names))
        ranked = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_CATEGORIES]
        return Categories(categories=[Category(name=name, num_items=count) for name, count in ranked])

    @router.get("/v1/status", tags=["console"])
    def status() -> Status:
        """What serves, which parts are asked, and the answers of the last minutes."""
        return service.status()

    @router.get("/v1/controls", tags=["console"])
    async def controls() -> Controls:
        """What may be asked for, and the events by which a user takes or refuses an item."""
        return Controls(
            max_k=service.config.serve.max_k,
            take=Mark(event_type=rules.targets[0], value=rules.min_value),
            refuse=Mark(event_type=REFUSED, value=None),
        )

    @router.post("/v1/inspect", tags=["console"])
    async def inspect(request: RecommendRequest) -> Inspection:
        """The answer to a request, taken apart. Asks both rankers, so it costs more than the answer alone."""
        max_k = service.config.serve.max_k
        if request.k > max_k:
            raise HTTPException(422, f"k is {request.k}; at most {max_k} are allowed (serve.max_k)")
        return await service.inspect(request)

    return router


def user_view(state: UserState, *, titles: Mapping[str, str], rules: Rules) -> UserView:
    narrative = state.narrative
    as_of = narrative.as_of if narrative else None
    recent = append_recent("", state.recent_events, as_of=as_of)
    appended = newer_than(state.recent_events, as_of)[-MAX_RECENT:]  # the store keeps events in order of time

    def row(event: Event) -> LoggedEvent:
        return LoggedEvent(
            item_id=event.item_id,
            title=titles.get(event.item_id, event.item_id),
            event_time=event.event_time,
            event_type=event.event_type,
            value=event.value,
            taken=rules.takes(event.event_type, event.value),
            appended=event in appended,
        )

    text = narrative.text if narrative else None
    return UserView(
        user_id=state.user_id,
        num_events=state.num_events,
        events=[row(event) for event in reversed(state.recent_events)],
        narrative=text,
        as_of=as_of,
        recent=recent,
        narrative_version=narrative.verbalizer_version if narrative else None,
        catalogue_version=narrative.catalogue_version if narrative else None,
        titles={item_id: titles[item_id] for item_id in mentioned(f"{text} {recent}") if item_id in titles},
    )


class UserTable:
    """The ids of a feature table; read when first asked, and again when the file is another one.

    Raises:
        ServingError: (in a call) the table cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read: tuple[tuple[int, int], pl.Series] | None = None
        self._reading = threading.Lock()  # equal searches wait for one reading

    def find(self, prefix: str, limit: int) -> UserIds:
        ids = self._ids()
        found = ids.filter(ids.str.starts_with(prefix)).head(limit + 1).to_list()
        return UserIds(users=found[:limit], complete=len(found) <= limit)

    def _ids(self) -> pl.Series:
        with self._reading:
            try:
                stat = self._path.stat()
                state = (stat.st_mtime_ns, stat.st_size)
                if self._read is None or self._read[0] != state:
                    ids = pl.scan_parquet(self._path).select(pl.col(USER_ID).cast(pl.String).unique())
                    self._read = state, ids.sort(USER_ID).head(MAX_USERS).collect()[USER_ID]
            except FileNotFoundError:
                return pl.Series(USER_ID, [], dtype=pl.String)  # no batch build yet: ids can be typed all the same
            except (OSError, pl.exceptions.PolarsError) as error:
                raise ServingError(f"the user table {self._path.name} cannot be read: {type(error).__name__}") from None
            return self._read[1]


def _file(name: str, files: Mapping[str, bytes]) -> Response:
    return Response(files[name], media_type=MEDIA_TYPES[Path(name).suffix], headers=HEADERS)
