"""A ranker in the recommender's process: micro-batches, bounds, and the swap to a new champion."""

import asyncio
import threading
from collections import Counter

import numpy as np
import pytest
from backend_world import untrained
from serving_world import TITLES, WordOverlap, catalogue, load_ranker, write_version
from waiting import until

from raconteur.artifacts import Registry, new_folder
from raconteur.errors import ArtifactError, ServingError
from raconteur.reason.onnx import MODEL
from raconteur.train.builds import export
from serving.backends.local import LocalRanker, open_local, tried
from serving.batches import MAX_BATCH, MAX_WAITING
from serving.follow import Follower

IDS = ["i1", "i2", "i3", "i4"]
PATIENT_S = 60.0


class Gated:
    """WordOverlap that waits for the test before it answers, and keeps what it was asked."""

    def __init__(self, weight=1.0):
        self._ranker = WordOverlap(TITLES, weight)
        self.gate = threading.Semaphore(0)
        self.asked = []

    def score(self, texts, candidates):
        self.asked.append(list(texts))
        assert self.gate.acquire(timeout=PATIENT_S)
        return self._ranker.score(texts, candidates)


class Odd:
    """Answers by the text: a failure, infinities, rows that nobody asked for, NaN for all, or as it should."""

    def score(self, texts, candidates):
        if "fail" in texts:
            raise ValueError("CUDA out of memory")
        if "short" in texts:
            return np.zeros((0, 0), np.float32)
        rows = [[np.inf if text == "infinite" else 1.0] * len(row) for text, row in zip(texts, candidates, strict=True)]
        return np.array(rows, np.float32)


@pytest.fixture
def models(tmp_path):
    write_version(tmp_path, "v1").promote("v1", cause="test")
    return tmp_path


def following(models, load):
    return Follower(Registry(models), load)


def gated(models, weight=1.0):
    model = Gated(weight)
    return model, LocalRanker("student", following(models, lambda _: model))


def asking(ranker, text, ids=IDS, *, timeout_s=PATIENT_S):
    return asyncio.create_task(ranker.score(text, ids, timeout_s=timeout_s))


def test_lone_request_is_computed_at_once_and_those_behind_it_go_together(models):
    async def story():
        model, ranker = gated(models)
        first = asking(ranker, "war")
        await until(lambda: model.asked == [["war"]])
        others = [asking(ranker, text) for text in ("space", "drama", "court")]
        await asyncio.sleep(0)
        model.gate.release(2)
        answers = await asyncio.gather(first, *others)
        await ranker.close()
        return model.asked, [scores.tolist() for scores, _ in answers]

    asked, scores = asyncio.run(story())
    assert asked == [["war"], ["space", "drama", "court"]]
    assert scores == [[1, 0, 0, 1], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 1, 0]]


def test_lists_of_other_lengths_go_in_calls_of_their_own_oldest_first(models):
    async def story():
        model, ranker = gated(models)
        first = asking(ranker, "first")
        await until(lambda: model.asked)
        lengths = [2, 3, 2, 4]
        others = [asking(ranker, f"{n} of {length}", IDS[:length]) for n, length in enumerate(lengths)]
        await asyncio.sleep(0)
        model.gate.release(9)
        answers = await asyncio.gather(first, *others)
        await ranker.close()
        return model.asked, [len(scores) for scores, _ in answers]

    asked, lengths = asyncio.run(story())
    assert asked == [["first"], ["0 of 2", "2 of 2"], ["1 of 3"], ["3 of 4"]]
    assert lengths == [4, 2, 3, 2, 4]


def test_batches_are_bounded_and_one_request_too_many_is_refused_at_once(models):
    async def story():
        model, ranker = gated(models)
        first = asking(ranker, "first")
        await until(lambda: model.asked)
        others = [asking(ranker, f"{n}") for n in range(MAX_WAITING - 1)]
        await asyncio.sleep(0)
        with pytest.raises(ServingError, match=f"student is busy: {MAX_WAITING} requests are waiting"):
            await ranker.score("one more", IDS, timeout_s=PATIENT_S)
        model.gate.release(99)
        await asyncio.gather(first, *others)
        await ranker.close()
        return [len(texts) for texts in model.asked]

    full = MAX_WAITING // MAX_BATCH - 1
    assert asyncio.run(story()) == [1] + [MAX_BATCH] * full + [MAX_BATCH - 1]


def test_waiters_that_gave_up_are_left_out_of_the_next_call_and_make_room(models):
    async def story():
        model, ranker = gated(models)
        first = asking(ranker, "first")
        await until(lambda: model.asked)
        cancelled, kept = asking(ranker, "cancelled"), asking(ranker, "kept")
        late = [asking(ranker, "late", timeout_s=0.01) for _ in range(MAX_WAITING - 3)]
        await asyncio.sleep(0)
        cancelled.cancel()
        refusals = await asyncio.gather(cancelled, *late, return_exceptions=True)
        assert isinstance(refusals[0], asyncio.CancelledError)
        assert {str(one) for one in refusals[1:]} == {"student gave no answer within 10 ms"}
        newer = asking(ranker, "newer")
        await asyncio.sleep(0)
        model.gate.release(9)
        await asyncio.gather(first, kept, newer)
        await ranker.close()
        return model.asked

    assert asyncio.run(story()) == [["first"], ["kept", "newer"]]


def test_a_request_that_gives_up_while_it_is_computed_spoils_nothing(models):
    async def story():
        model, ranker = gated(models)
        given_up = asking(ranker, "given up", timeout_s=0.01)
        with pytest.raises(ServingError, match="gave no answer within 10 ms"):
            await given_up
        other = asking(ranker, "space")
        model.gate.release(2)
        scores, _ = await other
        await ranker.close()
        return scores.tolist()

    assert asyncio.run(story()) == [1, 1, 0, 0]


def test_champion_changes_between_calls_never_within_one(models):
    """The call that computes keeps its version; those that waited meanwhile all get the new one."""
    versions = {"v1": Gated(1.0), "v2": Gated(2.0)}

    async def story():
        follower = following(models, lambda folder: versions[folder.name])
        ranker = LocalRanker("student", follower)
        first = asking(ranker, "war")
        await until(lambda: versions["v1"].asked)
        others = [asking(ranker, "war") for _ in range(3)]
        write_version(models, "v2").promote("v2", cause="test")
        assert follower.check()
        for model in versions.values():
            model.gate.release(9)
        answers = await asyncio.gather(first, *others)
        await ranker.close()
        return [(version, scores.tolist()) for scores, version in answers]

    assert asyncio.run(story()) == [("v1", [1, 0, 0, 1])] + [("v2", [2, 0, 0, 2])] * 3


def test_swap_under_load_loses_no_request_and_each_answer_is_of_the_version_it_names(models):
    async def story():
        follower = following(models, lambda folder: load_ranker(folder / "student"))
        ranker = LocalRanker("student", follower)
        answers = []
        for number in range(2, 8):
            round_ = [asking(ranker, "war") for _ in range(20)]
            write_version(models, f"v{number}", weight=number).promote(f"v{number}", cause="test")
            await asyncio.to_thread(follower.check)
            answers += await asyncio.gather(*round_)
        await ranker.close()
        return answers

    answers = asyncio.run(story())
    assert len(answers) == 120
    assert all(scores[0] == float(version[1:]) for scores, version in answers)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fail", "student failed: ValueError: CUDA out of memory"),
        ("short", "student failed: ValueError"),
        ("infinite", "student scored candidate 0 as inf; expected a finite number"),
    ],
)
def test_model_that_fails_is_a_serving_error_and_serves_the_next(models, text, message):
    async def story():
        ranker = LocalRanker("student", following(models, lambda _: Odd()))
        with pytest.raises(ServingError, match=message):
            await ranker.score(text, IDS, timeout_s=PATIENT_S)
        scores, _ = await ranker.score("fine", IDS, timeout_s=PATIENT_S)
        await ranker.close()
        return scores.tolist()

    assert asyncio.run(story()) == [1, 1, 1, 1]


def test_one_row_that_is_infinite_fails_its_own_request_alone(models):
    async def story():
        ranker = LocalRanker("student", following(models, lambda _: Odd()))
        tasks = [asking(ranker, text) for text in ("infinite", "fine")]
        answers = await asyncio.gather(*tasks, return_exceptions=True)
        await ranker.close()
        return answers

    refused, (scores, _) = asyncio.run(story())
    assert isinstance(refused, ServingError)
    assert scores.tolist() == [1, 1, 1, 1]


def test_close_refuses_those_that_wait(models):
    async def story():
        model, ranker = gated(models)
        computed = asking(ranker, "war")
        await until(lambda: model.asked)
        waiting = asking(ranker, "space")
        await asyncio.sleep(0)
        await ranker.close()
        with pytest.raises(ServingError, match="student is closed"):
            await waiting
        model.gate.release(2)
        scores, _ = await computed
        return model.asked, scores.tolist()

    assert asyncio.run(story()) == ([["war"]], [1, 0, 0, 1])


def test_new_champion_that_cannot_rank_its_own_catalogue_is_refused(models):
    follower = following(models, lambda version: tried(load_ranker(version / "student"), version))
    write_version(models, "v2", weight=float("inf")).promote("v2", cause="test")
    assert not follower.check()
    assert follower.current.version == "v1"


@pytest.mark.parametrize("titles", [{"another": "space war"}, {}])
def test_tried_model_of_another_catalogue_is_refused(models, titles):
    with pytest.raises(ArtifactError, match="scores items of its own catalogue as"):
        tried(WordOverlap(titles, 1.0), models / "v1")


# Encodings that are kept, of a real student


@pytest.fixture(scope="module")
def students(tmp_path_factory):
    root = tmp_path_factory.mktemp("students")
    write_students(root, "v1").promote("v1", cause="test")
    return root


def write_students(root, version):
    with new_folder(root / version, artefact="version") as folder:
        (folder / "student").mkdir()
        student = untrained()
        student.save(folder / "student")
        (folder / "student" / "model.safetensors").unlink()
        export(student.model, folder / "student" / MODEL)
        catalogue().write_parquet(folder / "items.parquet")
    return Registry(root)


def scores_of(root, texts, *, max_texts, count=lambda _: None):
    async def story():
        ranker = open_local("student", root, max_texts=max_texts, count=count)
        answers = [(await ranker.score(text, IDS, timeout_s=PATIENT_S))[0].tobytes() for text in texts]
        await ranker.close()
        return answers

    return asyncio.run(story())


def test_scores_of_a_text_that_comes_again_are_those_of_a_fresh_one_to_the_byte(students):
    counts, texts = Counter(), ["space war <item:i1>", "court", "space war <item:i1>", "", "court", "lost", "court"]
    kept = scores_of(students, texts, max_texts=2, count=lambda outcome: counts.update([outcome]))
    assert kept == scores_of(students, texts, max_texts=0)
    # The empty text pushes `court` out, `court` the first text, `lost` the empty one; the last `court` is still there.
    assert counts == {"miss": 5, "hit": 2, "evicted": 3}


def test_new_champion_encodes_every_text_anew(tmp_path):
    write_students(tmp_path, "v1").promote("v1", cause="test")
    counts = Counter()

    async def story():
        ranker = open_local("student", tmp_path, max_texts=9, count=lambda outcome: counts.update([outcome]))
        await ranker.score("space war", IDS, timeout_s=PATIENT_S)
        await ranker.score("space war", IDS, timeout_s=PATIENT_S)
        write_students(tmp_path, "v2").promote("v2", cause="test")
        async with asyncio.timeout(PATIENT_S):
            while (await ranker.score("space war", IDS, timeout_s=PATIENT_S))[1] != "v2":
                counts["hit"] -= 1  # of the old one, while the new one is loaded
                await asyncio.sleep(0.05)
        await ranker.close()

    asyncio.run(story())
    assert counts == {"miss": 2, "hit": 1}
