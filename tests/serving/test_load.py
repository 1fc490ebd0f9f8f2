"""The load generator, its records and tables, the floor and the memory watch, each against something small and real."""

import asyncio
import json
import math
import sys
import time
from itertools import cycle, pairwise

import polars as pl
import pytest
import torch
from answering import always, answering, http, ranked
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import Progress
from serving_world import TITLES, write_version
from store_world import write_store

from raconteur.artifacts import new_folder
from raconteur.config.schema import Config
from raconteur.errors import ArtifactError, ConfigError, DataError, ServingError
from raconteur.reason.choice import ChoiceModel, ChoiceReasoner
from raconteur.reason.load import load_student
from raconteur.reason.onnx import MODEL
from raconteur.reason.prompts import Prompts
from raconteur.represent.mentions import mention
from raconteur.represent.tokenizer import train_tokenizer
from raconteur.retrieve.popularity import Popularity
from raconteur.train.builds import export
from serving.load import bench
from serving.load.caller import Caller
from serving.load.connection import Client, target_of
from serving.load.floor import best, measure_floor, open_parts
from serving.load.generate import arrivals, closed_loop, during, open_loop, take
from serving.load.record import Record
from serving.load.report import Report, markdown, percentile, show, summarise, write
from serving.load.soak import memory_line, soak
from serving.load.watch import Sample, Usage, growth, local_parts, sample
from serving.machine.processes import Started, spawn, stop
from serving.machine.state import Part, Running, Stack, write_stack

NOTHING = b'{"user_id":"u1","k":10}'
OK = http(ranked())


def silent(_):
    pass


def closed(address, *, concurrency=1, count=8, timeout_s=10.0, key=None):
    async def run():
        client = Client(target_of(address, key=key), timeout_s=timeout_s)
        record = await closed_loop(client, take(cycle([NOTHING]), count, tick=silent), concurrency=concurrency)
        client.close()
        return record

    return asyncio.run(run())


def opened(address, planned_s, *, max_in_flight=512):
    async def run():
        client = Client(target_of(address), timeout_s=10.0)
        record = await open_loop(client, cycle([NOTHING]), planned_s, tick=silent, max_in_flight=max_in_flight)
        client.close()
        return record

    return asyncio.run(run())


# --- arrivals


@given(st.integers(0, 2**32), st.floats(20, 500), st.floats(5, 50))
def test_arrivals_come_in_order_at_the_rate_and_as_seeded(seed, rate, seconds):
    times = arrivals(rate, seconds, seed=seed)
    assert times == sorted(times) == arrivals(rate, seconds, seed=seed)
    assert all(0 < time_s < seconds for time_s in times)
    expected = rate * seconds
    assert abs(len(times) - expected) < 6 * math.sqrt(expected)  # a Poisson count: its variance is its mean
    gaps = [after - before for before, after in pairwise(times)]
    short = sum(gap < 1 / rate for gap in gaps) / len(gaps)  # of exponential gaps, 1 - 1/e are below their mean
    assert abs(short - (1 - 1 / math.e)) < 6 * math.sqrt(0.25 / len(gaps))


def test_arrivals_of_another_seed_are_others():
    assert arrivals(100, 1, seed=1) != arrivals(100, 1, seed=2)


# --- closed loop


def test_closed_loop_sends_each_body_once_and_counts_what_came_back():
    bodies = [json.dumps({"user_id": f"u{number}"}).encode() for number in range(30)]

    async def run(address):
        client = Client(target_of(address), timeout_s=10.0)
        return await closed_loop(client, take(iter(bodies), 30, tick=silent), concurrency=3)

    with answering(always(OK)) as server:
        record = asyncio.run(run(server.address))
    assert sorted(body["user_id"] for body in server.bodies) == sorted(f"u{number}" for number in range(30))
    assert (record.num_sent, record.statuses, record.errors, record.routes) == (30, {200: 30}, {}, {"student": 30})
    assert len(record.latency_ms) == 30
    assert record.num_bytes == 30 * len(ranked())
    assert server.num_connections == 3  # kept open


def test_closed_loop_has_as_many_under_way_as_it_was_told():
    barrier, under_way, most = asyncio.Barrier(4), 0, 0

    async def reply(_):
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await barrier.wait()  # fewer than four would wait for each other for ever
        under_way -= 1
        return OK

    with answering(reply) as server:
        record = closed(server.address, concurrency=4, count=12)
    assert (most, len(record.latency_ms)) == (4, 12)


def test_closed_loop_for_a_time_ends_and_tells_its_share_done():
    shares = []

    async def run(address):
        client = Client(target_of(address), timeout_s=10.0)
        return await closed_loop(client, during(cycle([NOTHING]), 0.2, tick=shares.append), concurrency=2)

    with answering(always(OK)) as server:
        record = asyncio.run(run(server.address))
    assert record.seconds >= 0.2
    assert len(record.latency_ms) == record.num_sent == len(shares) > 0
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] < 1


# --- open loop


def test_open_loop_waits_for_no_answer():
    barrier = asyncio.Barrier(10)

    async def reply(_):
        await barrier.wait()  # nobody is answered before all ten have asked
        return OK

    with answering(reply) as server:
        record = opened(server.address, [number / 1000 for number in range(10)])
    assert len(record.latency_ms) == len(record.late_ms) == 10
    assert min(record.late_ms) >= 0


def test_open_loop_stall_of_the_server_shows_in_all_requests_that_it_held_up():
    """Coordinated omission: of a stall of 0.5 s, a closed loop sees one slow answer, an open loop half a second's."""
    stall_s = 0.5

    async def reply(number):
        if number == 50:
            time.sleep(stall_s)  # the whole server
        return OK

    planned_s = [number / 200 for number in range(400)]  # two seconds
    with answering(reply) as server:
        open_record = opened(server.address, planned_s)
    with answering(reply) as server:
        closed_record = closed(server.address, count=400)
    # The requests planned in the stall wait for its end: 100 of 400, the first one all of it, the last one nothing.
    assert sum(latency_ms > 250 for latency_ms in open_record.latency_ms) >= 45
    assert percentile(sorted(open_record.latency_ms), 0.99) > 450
    assert max(closed_record.latency_ms) > 450
    assert sum(latency_ms > 250 for latency_ms in closed_record.latency_ms) < 10
    assert percentile(sorted(closed_record.latency_ms), 0.9) < percentile(sorted(open_record.latency_ms), 0.9)


def test_open_loop_latency_counts_from_the_planned_time_when_the_client_itself_is_late():
    shares = []

    def sleepy(share):
        if not shares:
            time.sleep(0.3)  # the client's own loop hangs before its first request
        shares.append(share)

    async def run(address):
        client = Client(target_of(address), timeout_s=10.0)
        return await open_loop(client, cycle([NOTHING]), [0.0, 0.1, 0.2], tick=sleepy)

    with answering(always(OK)) as server:
        record = asyncio.run(run(server.address))
    for seen_ms, held_up_ms in zip(sorted(record.latency_ms), (100, 200, 300), strict=True):
        assert seen_ms > held_up_ms - 1


def test_open_loop_too_many_under_way_are_counted_as_unsent():
    async def reply(_):
        await asyncio.sleep(0.3)
        return OK

    with answering(reply) as server:
        record = opened(server.address, [0.0] * 10, max_in_flight=4)
    assert (record.num_sent, record.num_unsent, len(record.latency_ms)) == (4, 6, 4)


# --- servers that misbehave


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (http(b'{"error":"busy"}', 429, "Retry-After: 1\r\n"), "status 429"),
        (http(b"{}", 500), "status 500"),
        (http(b"<html>hello"), "answer is no ranked list"),
        (http(b'{"items": []}'), "answer is no ranked list"),
        (http(b"[1, 2]"), "answer is no ranked list"),
        (http(ranked("[red]a | b[/]")), "answer is no ranked list"),
        (http(ranked(latency_ms="soon")), "answer is no ranked list"),
        ((b"SSH-2.0-nothing\r\n\r\n",), "not HTTP"),
        ((b"HTTP/1.1 200 OK\r\n\r\nhello",), "answer without a length"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n",), "answer too large"),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",), "not HTTP"),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of",), "connection closed"),
        ((b"",), "connection closed"),
    ],
)
def test_closed_loop_bad_answers_are_counted_by_kind_and_the_load_goes_on(answer, kind):
    async def reply(number):
        return answer if number % 2 else OK

    with answering(reply) as server:
        record = closed(server.address, count=8)
    assert record.errors == {kind: 4}
    assert len(record.latency_ms) == 4
    assert record.num_sent == 8


def test_closed_loop_server_that_does_not_answer_in_time():
    async def reply(number):
        await asyncio.sleep(30 if number == 0 else 0)
        return OK

    with answering(reply) as server:
        record = closed(server.address, count=3, timeout_s=0.2)
    assert (record.errors, len(record.latency_ms)) == ({"timeout": 1}, 2)


def test_closed_loop_nobody_there(free_ports):
    [port] = free_ports(1)
    assert closed(f"http://127.0.0.1:{port}", count=3).errors == {"cannot connect": 3}


def test_client_reads_chunks_and_opens_anew_where_the_server_hangs_up():
    body = ranked()
    chunks = b"".join(b"%x;note\r\n%b\r\n" % (len(part), part) for part in (body[:10], body[10:])) + b"0\r\n\r\n"
    answers = [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunks,
        (http(body, 200, "Connection: close\r\n"),),
    ]

    async def reply(number):
        return answers[number % 2]

    with answering(reply) as server:
        record = closed(server.address, count=6)
    assert (record.errors, len(record.latency_ms), server.num_connections) == ({}, 6, 3)


def test_client_connection_that_was_closed_while_idle_is_no_error():
    async def run(address):
        client = Client(target_of(address), timeout_s=10.0)
        first = await client.post(NOTHING)
        await asyncio.sleep(0.2)
        return first, await client.post(NOTHING)

    with answering(always((OK,))) as server:  # hangs up after each answer without saying so
        assert asyncio.run(run(server.address)) == ((200, ranked()), (200, ranked()))


def test_client_sends_the_key_as_a_bearer_token():
    with answering(always(OK)) as server:
        closed(server.address, count=1, key="secret-1")
    assert "\r\nauthorization: Bearer secret-1\r\n" in server.heads[0]
    assert server.heads[0].startswith("POST /v1/recommendations HTTP/1.1\r\n")


@pytest.mark.parametrize("address", ["", "localhost:8800", "ftp://a", "http://", "http://a:notaport", "http://a/v1"])
def test_target_of_no_address(address):
    with pytest.raises(ConfigError, match="http://HOST:PORT"):
        target_of(address)


@pytest.mark.parametrize("key", ["", "two\r\nx: lines", "ключ", "blank "])
def test_target_of_key_that_no_header_may_hold_is_not_repeated_in_the_message(key):
    with pytest.raises(ConfigError) as caught:
        target_of("http://a", key=key)
    assert not key or key not in str(caught.value)


# --- records and tables


def test_percentile_lies_between_neighbours():
    assert percentile([1.0, 2.0, 3.0, 4.0], 0.5) == 2.5
    assert percentile([1.0, 2.0, 3.0], 0.5) == 2.0
    assert percentile([10.0, 20.0], 0.99) == pytest.approx(19.9)
    assert percentile([7.0], 0.99) == 7.0
    assert percentile([3.0, 9.0], 1.0) == 9.0


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_percentiles_are_ordered_and_within_bounds(values):
    record = Record()
    record.latency_ms.extend(values)
    found = list(summarise("x", record).latency_ms.values())
    assert found == sorted(found)
    assert min(values) <= found[0]
    assert found[-1] == max(values)


def worked_record():
    """Two fresh answers and a cached one, by hand."""
    record = Record(seconds=2.0, cpu_s=0.0012, num_sent=4)
    record.add(10.0, 200, ranked(latency_ms=8.0, features=1.0, student=5.0))  # between 2, outside 2
    record.add(10.0, 200, ranked("cold", degraded=True, latency_ms=6.0, features=3.0))  # between 3, outside 4
    record.add(1.0, 200, ranked(cached=True, latency_ms=8.0, features=1.0, student=5.0))
    record.add(0.5, 503, b"")
    return record


def test_summarise_by_hand():
    summary = summarise("1 at a time", worked_record())
    assert (summary.num_answered, summary.per_second, summary.client_us) == (3, 1.5, pytest.approx(300))
    assert summary.latency_ms["p50"] == 10.0
    assert summary.routes == {"cold": pytest.approx(1 / 3), "student": pytest.approx(2 / 3)}
    assert (summary.degraded, summary.cached) == (pytest.approx(1 / 3), pytest.approx(1 / 3))
    assert summary.errors == {"status 503": 1}
    shares = {name: (stage.median_ms, stage.share) for name, stage in summary.stages.items()}
    assert shares == {"features": (2, 0.2), "student": (5, 0.25), "between": (2.5, 0.25), "outside": (3, 0.3)}


def test_summarise_nothing_answered():
    record = Record()
    record.errors["timeout"] += 3
    summary = summarise("x", record)
    assert (summary.num_answered, summary.latency_ms, summary.stages, summary.routes) == (0, {}, {}, {})


def report():
    memory = Sample(0.0, {"recommender": Usage(3, 900.4, 1500.0), "reasoner": Usage(1, 99.6, 500.0)})
    late = Record(num_unsent=5)
    late.late_ms.append(1.25)
    loads = [summarise("1 at a time", worked_record()), summarise("100 a second", late)]
    return Report({"hardware": "two | cores"}, loads, memory, ["a remark"])


def test_markdown_holds_loads_stages_memory_and_what_failed():
    text = markdown(report())
    assert "- hardware: two / cores" in text
    assert "| 1 at a time | 3 | 2 | 10.00 | 10.00 | 10.00 | 10.00 | 10.00 | 300 |" in text
    assert "| 100 a second | 0 | 0 | - | - | - | - | - | - |" in text
    assert "| median ms (share) | 1 at a time |\n| --- | ---: |\n| features | 2.00 (20%) |" in text
    assert text.index("| student |") < text.index("| between |") < text.index("| outside | 3.00 (30%) |")
    assert "| all | 4 | 1,000 | 2,000 |" in text
    assert "- 1 at a time: cold 33%, student 67%; degraded 33.3%, cached 33.3%" in text
    assert "- 1 at a time: FAILED status 503 1" in text
    assert "- 100 a second: 5 planned requests were not sent, too many were under way" in text
    assert text.endswith("- a remark\n")


def test_show_prints_the_same_facts(capsys):
    show(report(), Console(width=140))
    printed = capsys.readouterr().out
    assert all(word in printed for word in ("two | cores", "2.00 (20%)", "FAILED status 503 1", "1,000", "a remark"))


def test_write_markdown_and_json_beside_it(tmp_path):
    write(report(), tmp_path / "new" / "serving.md")
    assert (tmp_path / "new" / "serving.md").read_text() == markdown(report())
    told = json.loads((tmp_path / "new" / "serving.json").read_text())
    assert told["loads"][0]["stages"]["student"] == {"median_ms": 5.0, "share": 0.25}
    assert told["memory"]["parts"]["recommender"]["pss_mib"] == 900.4


# --- memory


HOLD = "import time; held = bytearray(64 << 20); print('held', flush=True); time.sleep(600)"


@pytest.fixture
def holder(tmp_path):
    """A running part of 64 MiB."""
    started = Started.of(spawn([sys.executable, "-c", HOLD], log=tmp_path / "log", environment={}).pid)
    deadline = time.monotonic() + 20
    while "held" not in (tmp_path / "log").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield started
    stop([started])


def test_sample_sums_the_processes_of_each_part(holder):
    found = sample({"holder": holder})
    assert found.parts["holder"].num_processes == 1
    assert 64 <= found.pss_mib <= found.rss_mib < 200
    stop([holder])
    assert sample({"holder": holder}).parts["holder"] == Usage(0, 0, 0)


def write_running(folder, started):
    part = Part("holder", (), (1,), "http://127.0.0.1:1/")
    write_stack(folder, Stack("2024-05-01T00:00:00Z", "/tmp/none", [Running(part, started)], supervisor=started))


def test_local_parts_are_those_that_were_started_and_their_supervisor(tmp_path):
    assert local_parts(tmp_path) == {}
    write_running(tmp_path, Started(12, 3.0))
    assert local_parts(tmp_path) == {"holder": Started(12, 3.0), "supervisor": Started(12, 3.0)}


def samples(*pss_mib):
    return [Sample(10.0 * number, {"a": Usage(1, value, value)}) for number, value in enumerate(pss_mib)]


def test_growth_compares_the_last_fifth_with_the_first():
    assert growth(samples(90, 110, 500, 500, 500, 500, 500, 500, 100, 110)) == pytest.approx(0.05)
    assert growth(samples(100, 1, 1, 1, 80)) == pytest.approx(-0.2)


def test_growth_too_few_samples():
    with pytest.raises(DataError, match="4 samples"):
        growth(samples(1, 2, 3, 4))
    with pytest.raises(DataError, match="running stack"):
        growth(samples(0, 0, 0, 0, 0))


def test_soak_sends_half_the_throughput_and_watches_memory_meanwhile(holder, tmp_path):
    write_running(tmp_path, holder)
    with answering(always(OK)) as server, Progress(disable=True) as progress:
        caller = Caller(server.address, ["u1", "u2"], key=None, seed=0, progress=progress)
        record, found = soak(caller, tmp_path, per_second=200.0, minutes=0.02, sample_s=0.05)
    assert record.num_sent == len(arrivals(100.0, 1.2, seed=0)) == len(record.latency_ms)
    assert len(found) >= 5
    assert found[0].pss_mib > 64
    assert memory_line(found).startswith("memory: flat within 0.")


def test_soak_of_a_service_that_answered_nothing():
    with Progress(disable=True) as progress:
        caller = Caller("http://127.0.0.1:1", ["u1"], key=None, seed=0, progress=progress)
        with pytest.raises(ServingError, match="no load to soak it in"):
            soak(caller, None, per_second=0.0, minutes=1)


# --- floor


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A champion with a tiny real student (ONNX), popularity retrieval, and the four-film store."""
    workdir = tmp_path_factory.mktemp("run")
    registry = write_version(workdir / "models", "v1")
    torch.manual_seed(0)
    tokenizer = train_tokenizer(["court drama", "space war"], [mention(item) for item in TITLES], 260)
    model = ChoiceModel(tokenizer.get_vocab_size(), num_layers=1, width=16, num_heads=2, dropout=0.0)
    reasoner = ChoiceReasoner(model, Prompts(tokenizer, history_tokens=16))
    with new_folder(workdir / "models" / "v2", artefact="version") as folder:
        (folder / "student").mkdir()
        reasoner.save(folder / "student")
        export(reasoner.model, folder / "student" / MODEL)
        (registry.folder("v1") / "retriever").rename(folder / "retriever")
    registry.promote("v2", cause="test")
    write_store(workdir / "features")
    return workdir


def test_floor_measures_each_part_of_the_answers_of_users_with_takes(run_folder):
    parts = open_parts(Config(workdir=run_folder))
    users = ["sure", "torn", "shy", "nobody"]  # half of them have taken something
    floor = measure_floor(parts, users, num_requests=40, tick=silent)
    assert list(floor.ranking.stage_ms) == ["features", "encode", "session"]
    assert list(floor.retrieving.stage_ms) == ["features", "retrieve", "encode", "session"]
    assert len(floor.ranking.latency_ms) == len(floor.retrieving.latency_ms) == 20
    for record in (floor.ranking, floor.retrieving):
        assert list(record.latency_ms) == pytest.approx(
            [sum(row) for row in zip(*record.stage_ms.values(), strict=True)]
        )
        assert record.seconds == pytest.approx(sum(record.latency_ms) / 1000)
    assert sum(summary.share for summary in summarise("floor", floor.ranking).stages.values()) == pytest.approx(1)


def test_floor_session_scores_as_the_student_does(run_folder):
    parts = open_parts(Config(workdir=run_folder))
    state = parts.read("sure")
    candidates = parts.retrieve(state)
    assert candidates == ["i1", "i2", "i3", "i4", "i5"]
    [scores] = parts.run(parts.encode(state, candidates))
    expected = load_student(run_folder / "models" / "v2" / "student").score(["court court"], [candidates])
    assert scores.tolist() == expected.tolist()


def test_best_leaves_what_is_not_scored_to_the_end():
    retriever = Popularity.fit([["i1", "i2"], ["i2"]], ["i1", "i2", "i3"])
    assert best(retriever, [], 2) == ["i2", "i1"]


def test_floor_nobody_has_taken_anything(run_folder):
    with pytest.raises(DataError, match="ask for more users"):
        measure_floor(open_parts(Config(workdir=run_folder)), ["shy"], num_requests=5, tick=silent)


def test_floor_without_a_champion(tmp_path):
    with pytest.raises(ArtifactError, match="no champion"):
        open_parts(Config(workdir=tmp_path))


def test_default_run_sets_the_service_against_both_floors(run_folder, monkeypatch):
    monkeypatch.setattr(bench, "NUM_REQUESTS", 40)
    (run_folder / "data").mkdir()
    pl.DataFrame({"user_id": ["sure", "torn", "fan"]}).write_parquet(run_folder / "data" / "events.parquet")
    with answering(always(OK)) as server:
        config = Config(workdir=run_folder, serve={"port": server.port})
        report = bench.run(config, bench.parse(["--config-json", "unused", "--seconds", "0.2"]))
    names = [load.name for load in report.loads]
    assert names == ["client alone", "floor", "floor + retrieval", "1 at a time", "16 at a time", "100 a second"]
    floor, one = report.loads[1], report.loads[3]
    ratio = one.latency_ms["p99"] / floor.latency_ms["p99"]
    assert any(
        line.startswith("1 at a time against floor: ") and f"p99 {ratio:.2f} x" in line for line in report.remarks
    )
