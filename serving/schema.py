"""What clients of the recommender send and get, as JSON; the OpenAPI page is made from these records."""

from datetime import UTC, date, datetime, timedelta
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from raconteur.types import Event
from serving.protocol import MAX_CANDIDATES

Route = Literal["student", "reasoner", "retriever", "cold"]
Id = Annotated[str, Field(min_length=1, max_length=512)]
ShortText = Annotated[str, Field(min_length=1, max_length=200)]
RequestId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,128}$")]
MAX_EVENTS = 1000  # of one request
CLOCK_SKEW = timedelta(minutes=5)  # a client's clock may run ahead by this much
EARLIEST = datetime(1, 1, 2, tzinfo=UTC)  # the first day has times that do not exist in UTC


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class EventIn(Record):
    """One thing that a user did. Without a type it is a take (the first of `data.targets`)."""

    item_id: Id
    event_time: AwareDatetime | None = Field(None, description="with a time zone; missing: now")
    event_type: ShortText | None = None
    value: FiniteFloat | None = Field(None, description="rating, minutes or price, as in the training log")
    session_id: ShortText | None = None
    context: dict[ShortText, Annotated[str, Field(max_length=1000)]] = Field(default_factory=dict, max_length=50)

    @model_validator(mode="after")
    def _has_happened(self) -> "EventIn":
        if self.event_time is not None and self.event_time > datetime.now(UTC) + CLOCK_SKEW:
            raise ValueError(f"event_time {self.event_time.isoformat()} is in the future")
        if self.event_time is not None and self.event_time < EARLIEST:
            raise ValueError(f"event_time {self.event_time.isoformat()} is before all time")
        return self

    def to_event(self, *, default_type: str, now: datetime) -> Event:
        return Event(
            item_id=self.item_id,
            event_time=self.event_time.astimezone(UTC) if self.event_time else now,
            event_type=self.event_type or default_type,
            value=self.value,
            session_id=self.session_id,
            context=self.context,
        )


class Filters(Record):
    """What may be shown; everything that is given must hold."""

    categories: list[ShortText] | None = Field(None, min_length=1, max_length=100, description="one of these at least")
    not_categories: list[ShortText] = Field(default_factory=list, max_length=100, description="none of these")
    min_price: FiniteFloat | None = Field(None, description="items without a price do not pass a limit of price")
    max_price: FiniteFloat | None = None
    released_from: date | None = Field(None, description="items without a date do not pass a limit of date")
    released_to: date | None = Field(None, description="inclusive")
    available: bool = Field(True, description="False: also what cannot be had now")
    exclude: list[Id] = Field(default_factory=list, max_length=MAX_EVENTS, description="item ids never to be shown")

    @model_validator(mode="after")
    def _leaves_something(self) -> "Filters":
        if self.min_price is not None and self.max_price is not None and self.min_price > self.max_price:
            raise ValueError(f"min_price {self.min_price:g} is above max_price {self.max_price:g}")
        if self.released_from and self.released_to and self.released_from > self.released_to:
            raise ValueError(f"released_from {self.released_from} is after released_to {self.released_to}")
        return self


class RecommendRequest(Record):
    """Who asks: a user whose features are stored, or a raw history (which then counts instead of the stored one)."""

    user_id: Id | None = None
    history: list[EventIn] | None = Field(None, max_length=MAX_EVENTS, description="oldest first")
    k: int = Field(10, ge=1, description="items wanted, at most serve.max_k")
    candidates: list[Id] | None = Field(
        None, min_length=1, max_length=MAX_CANDIDATES, description="rank these instead of what retrieval proposes"
    )
    filters: Filters | None = Field(None, description="none: everything that can be had")
    query: str | None = Field(None, min_length=1, max_length=500, description="free text that the items should match")
    context: dict[ShortText, Annotated[str, Field(max_length=1000)]] = Field(
        default_factory=dict, max_length=50, description="kept in the prediction log; today's models do not read it"
    )
    explain: bool = Field(False, description="also tell what in the history carried each score; takes longer")
    latency_budget_ms: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="parts that would answer later than this are not asked or given up"
    )
    request_id: RequestId | None = Field(
        None, description="a repeated id with the same body gets the same answer again; with another body 409"
    )

    @model_validator(mode="after")
    def _someone_asks(self) -> "RecommendRequest":
        if self.user_id is None and self.history is None:
            raise ValueError("send user_id, or history for a user that nobody knows")
        return self


class Evidence(BaseModel):
    """What in the user's history carried an item's score."""

    item_id: str | None = Field(None, description="an item of the history; null for a category")
    category: str | None = None
    weight: float = Field(description="share of the score that goes when this is taken away; shares need not sum to 1")


class RecommendedItem(BaseModel):
    rank: int
    item_id: str
    title: str
    score: float | None = Field(description="of the model that ranked; null where it does not know the item")
    source: str = Field(description="the retriever that proposed the item; `request` for candidates of the request")
    reason: str = Field(description="built from the history and the catalogue; nothing in it is unchecked model text")
    evidence: list[Evidence] = Field(default_factory=list, description="only with `explain`")


class Versions(BaseModel):
    model: str = Field(description="model version that ranked")
    prompt: str | None = Field(None, description="form in which the ranker was asked; null where no model ranked")
    narrative: str | None = Field(None, description="Verbalizer that wrote the user's text; null without one")
    catalogue: str | None = Field(None, description="catalogue that serves")


class RecommendAnswer(BaseModel):
    request_id: str
    user_id: str | None
    items: list[RecommendedItem]
    route: Route = Field(description="who ranked: student, reasoner, retriever (no model server), cold (popular items)")
    reason: str = Field(description="why this route")
    degraded: bool = Field(description="True if a part failed and another one stood in for it")
    cached: bool = Field(description="True if an equal request was answered a moment ago")
    repairs: list[str] = Field(description="what the guard removed from the ranking")
    versions: Versions
    stage_ms: dict[str, float]
    latency_ms: float


class EventsRequest(Record):
    user_id: Id
    events: list[EventIn] = Field(min_length=1, max_length=MAX_EVENTS)
    request_id: RequestId | None = Field(None, description="a repeated id is answered again and counted once")


class EventsAnswer(BaseModel):
    accepted: int
    features_updated: bool = Field(
        description="False: the feature store failed; the events are in the log all the same"
    )
    unknown_items: list[str] = Field(description="ids that the catalogue does not have")
