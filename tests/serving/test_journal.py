"""What was accepted is not lost: a killed process, a full disk, a line that was cut off."""

import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from waiting import wait_for

from serving.records.journal import Journal, orphans
from serving.records.parquet_log import ParquetLog

SCHEMA = pa.schema({"n": pa.int64(), "at": pa.timestamp("us", tz="UTC")})
NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def rows(*numbers):
    return [{"n": number, "at": NOON} for number in numbers]


def open_log(folder, **options):
    settings = {"max_rows": 100, "max_seconds": 60.0, "count": lambda *_: None, "journal": True}
    return ParquetLog(folder, SCHEMA, **{**settings, **options})


def written(folder):
    return sorted(n for path in folder.glob("[!.]*.parquet") for n in pq.read_table(path)["n"].to_pylist())


def segments(folder):
    return sorted(path.name for path in folder.glob(".journal-*"))


def test_append_killed_process_loses_nothing_that_it_accepted(tmp_path):
    program = (
        "import sys, time; from test_journal import open_log, rows; from pathlib import Path\n"
        "log = open_log(Path(sys.argv[1]))\n"
        "for number in range(50): assert log.append(rows(number))\n"
        "print('accepted', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parent,
    )
    assert process.stdout.readline() == b"accepted\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert written(tmp_path) == []
    open_log(tmp_path).close()
    assert (written(tmp_path), segments(tmp_path)) == (list(range(50)), [])


def test_close_everything_is_in_parquet_and_no_segment_stays(tmp_path):
    log = open_log(tmp_path, max_rows=3)
    for number in range(10):
        log.append(rows(number))
    log.close()
    assert (written(tmp_path), segments(tmp_path)) == (list(range(10)), [])


def test_orphans_segment_of_a_living_owner_is_left_alone(tmp_path):
    Journal(tmp_path).append(rows(1))
    living = Journal(tmp_path)
    living.append(rows(2))
    found = [row["n"] for _, kept in orphans(tmp_path, SCHEMA) for row in kept]
    assert 2 not in found


def test_orphans_line_that_was_cut_off_is_left_out_and_times_come_back(tmp_path):
    (tmp_path / ".journal-x.jsonl").write_bytes(b'{"n":1,"at":"2024-05-01T12:00:00+00:00"}\n{"n":2,"at":"2024-05')
    [(_, kept)] = orphans(tmp_path, SCHEMA)
    assert kept == rows(1)


def test_append_disk_refuses_the_journal_nothing_is_accepted(tmp_path):
    (tmp_path / "log").write_text("a file where the folder should be")
    counted = []
    log = open_log(tmp_path / "log", count=lambda *outcome: counted.append(outcome))
    assert not log.append(rows(1, 2))
    assert counted == [("dropped", 2)]
    log.close()


def test_write_disk_refuses_for_a_while_rows_are_delayed_not_lost(tmp_path, monkeypatch):
    counted, refuses = [], [True]
    write = pq.write_table

    def sometimes(*arguments, **options):
        if refuses[0]:
            raise OSError(28, "No space left on device")
        write(*arguments, **options)

    monkeypatch.setattr("serving.records.parquet_log.pq.write_table", sometimes)
    log = open_log(tmp_path, max_rows=1, count=lambda *outcome: counted.append(outcome))
    log.append(rows(1))
    wait_for(lambda: ("delayed", 1) in counted)
    refuses[0] = False
    log.append(rows(2))
    wait_for(lambda: written(tmp_path) == [1, 2])
    log.close()
    assert segments(tmp_path) == []


def test_recover_lines_that_cannot_be_read_are_set_aside_and_the_log_goes_on(tmp_path):
    good = b'{"n":1,"at":"2024-05-01T12:00:00+00:00"}\n'
    bad = [b"\x00\x00\x00", b'{"n":2,"at":"noon"}', b"[3]"]
    (tmp_path / ".journal-x.jsonl").write_bytes(good + b"".join(line + b"\n" for line in bad))
    log = open_log(tmp_path)
    assert log.append(rows(4))
    log.close()
    assert written(tmp_path) == [1, 4]
    assert segments(tmp_path) == [".journal-x.bad"]
    assert (tmp_path / ".journal-x.bad").read_bytes().splitlines() == bad


def test_recover_segment_that_cannot_be_opened_does_not_stop_the_log(tmp_path):
    (tmp_path / ".journal-x.jsonl").mkdir()
    log = open_log(tmp_path)
    assert log.append(rows(4))
    log.close()
    assert written(tmp_path) == [4]
