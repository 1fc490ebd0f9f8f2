"""What the console asks for beside the answer itself, as JSON. Whoever fills these records is told what to put in."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from serving.records.traffic import Traffic
from serving.schema import RecommendAnswer


class View(BaseModel):
    model_config = ConfigDict(frozen=True)


class UserIds(View):
    users: list[str] = Field(description="ids that begin with the prefix, in order")
    complete: bool = Field(description="False: more ids begin with it than were asked for")


class LoggedEvent(View):
    """A row of the log, with the title of its item."""

    item_id: str
    title: str
    event_time: datetime
    event_type: str
    value: float | None
    taken: bool = Field(description="True: the rules of the log read it as a take")
    appended: bool = Field(description="True: newer than the narrative, and appended to it for the ranker")


class UserView(View):
    """One user as the recommender knows it now."""

    user_id: str
    num_events: int
    events: list[LoggedEvent] = Field(description="the newest ones, newest first")
    narrative: str | None = Field(description="the Verbalizer's text; null: none was written yet")
    as_of: datetime | None = Field(description="time of the newest event that the narrative covers")
    recent: str = Field(description="what is appended to the narrative: the events that it does not cover yet")
    narrative_version: str | None = Field(description="the Verbalizer that wrote the text")
    catalogue_version: str | None = Field(description="the catalogue that it was written with")
    titles: dict[str, str] = Field(description="of the items that the texts mention")


class Category(View):
    name: str
    num_items: int


class Categories(View):
    categories: list[Category] = Field(description="those with most items first")


class InspectedItem(View):
    """A candidate with the scores by which each of the three would order the answer, if it decided.

    A score is null where the model does not know the item or failed.
    """

    item_id: str
    title: str
    categories: list[str]
    source: str = Field(description="retriever that proposed it")
    retriever_score: float | None
    student_score: float | None
    reasoner_score: float | None
    rank: int | None = Field(description="1-based place in the answer; null: not shown")


class AskedRanker(View):
    version: str | None = Field(description="null: it did not answer")
    latency_ms: float | None
    failure: str | None = Field(None, description="why it has no scores; null: it has, or nothing was to be ranked")


class Decision(View):
    """The router's decision and what it was made from."""

    ranker: str
    reason: str
    mode: str
    margin: float
    gain: float | None
    probability: float | None
    propensity: float
    threshold: float | None
    router_version: str
    signals: dict[str, float]


class Inspection(View):
    """One answer, taken apart: the candidates with the scores of both rankers, whichever of them the router asked."""

    answer: RecommendAnswer
    candidates: list[InspectedItem] = Field(
        description="in the retriever's order; items of the answer that no model ranked come last, without scores"
    )
    student: AskedRanker
    reasoner: AskedRanker
    decision: Decision | None = Field(description="null: no student answered, so nothing was to be decided")
    text: str = Field(description="what the rankers read; empty on the cold path")


class Part(View):
    name: str = Field(description="student, reasoner, features ...")
    version: str | None = Field(description="null: not known, or it has none")
    breaker: Literal["closed", "open", "half-open"] | None = Field(
        description="closed: asked as usual; null: no breaker"
    )


class Cache(View):
    name: str
    hits: int
    misses: int
    entries: int | None = Field(description="null: each ranker keeps its own")


class Status(View):
    version: str = Field(description="champion that serves")
    parts: list[Part]
    traffic: Traffic
    caches: list[Cache]


class Mark(View):
    """How an event says something; sent back as it stands."""

    event_type: str
    value: float | None


class Controls(View):
    """What the page may ask for, and how it says what a user thought of an item."""

    max_k: int
    take: Mark = Field(description="the user took the item")
    refuse: Mark = Field(description="the user does not want it: no take, but seen, so not proposed again")
