"""The stages of students run to a page, on a very small world."""

import polars as pl
import pytest

from raconteur.errors import ConfigError
from raconteur.evaluate.routing import KINDS, read_requests
from raconteur.retrieve.rerank import Rerank
from raconteur.train.ablate.students import describe, select
from raconteur.train.ablate.students_page import answered, write_page

SMALL = (
    "student.width=8",
    "student.num_heads=2",
    "student.num_steps=3",
    "student.batch_size=8",
    "student.min_agreement=0",
    "student.max_ndcg_loss=1",
    "retrieve.num_ranked=12",
)
MORE = 'verbalizers = ["clean"]\n'


def test_students_page_shows_teacher_student_twin_and_two_stages(ablation):
    found = ablation(MORE, *SMALL)
    chosen = select(found, ["tiny/0/*"])
    assert "tiny/0/clean  requests-clean: to do" in describe(chosen)
    page = write_page(chosen, found.workdir, command="raconteur students").read_text()
    assert "to do" not in describe(chosen)
    for text in ("Reasoner (teacher)", "| student |", "| twin, not taught |", "retriever alone", "HR@10"):
        assert text in page
    for text in ("| light ranker |", "| light ranker, not taught |", "light ranker − light ranker, not taught"):
        assert text in page
    (students,) = chosen
    requests = read_requests(students.requests.folder)
    assert set(requests.costs) == {"student", "reasoner", "middle"}
    assert set(Rerank.load(students.requests.folder).weights) == {"student", "reasoner", "middle"}
    served = requests.of(split="test", lists=KINDS[1])
    assert served.student_BN.shape[1] == 12
    drawn = answered(students, KINDS[0])
    assert (drawn.hit("retriever") >= drawn.recall("retriever")).all()
    _nothing_served_was_touched_before(students)


def _nothing_served_was_touched_before(students):
    table = pl.read_parquet(students.requests.folder / "requests.parquet").filter(pl.col("lists") == KINDS[1])
    events = pl.read_parquet(students.models.data.folder / "events.parquet")
    split = pl.read_parquet(students.models.data.folder / "split.parquet")
    before = events.join(split.select("user_id", "split", pl.col("position").alias("end")), on="user_id").filter(
        pl.col("position") < pl.col("end")
    )
    touched = before.group_by("user_id", "split").agg(pl.col("item_id").unique().alias("touched"))
    joined = table.join(touched, on=["user_id", "split"])
    assert joined.height == table.height
    assert joined.select(pl.col("candidates").list.set_intersection("touched").list.len().max()).item() == 0


def test_students_select_pattern_that_fits_nothing_is_refused(ablation):
    with pytest.raises(ConfigError, match=r"there are tiny/0/clean"):
        select(ablation(MORE), ["mars/*"])
