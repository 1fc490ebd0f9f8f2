import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow as pa
from waiting import wait_for

from serving.records import parquet_log
from serving.records.parquet_log import ParquetLog

SCHEMA = pa.schema({"n": pa.int64()})


class Counts(dict):
    def __call__(self, outcome, num_rows):
        self[outcome] = self.get(outcome, 0) + num_rows


def rows(*numbers):
    return [{"n": number} for number in numbers]


def open_log(folder, counts, **options):
    return ParquetLog(folder, SCHEMA, **{"max_rows": 4, "max_seconds": 5.0, "count": counts, **options})


def written(folder):
    return [pl.read_parquet(path.read_bytes())["n"].to_list() for path in sorted(folder.glob("[!.]*.parquet"))]


def test_append_full_files_then_the_rest_on_close(tmp_path):
    counts = Counts()
    log = open_log(tmp_path / "log", counts)
    for number in range(6):
        assert log.append(rows(number))
    log.close()
    assert written(tmp_path / "log") == [[0, 1, 2, 3], [4, 5]]
    assert counts == {"written": 6}


def test_append_several_rows_stay_together(tmp_path):
    log = open_log(tmp_path / "log", Counts())
    log.append(rows(*range(9)))
    log.close()
    assert written(tmp_path / "log") == [list(range(9))]


def test_write_quiet_log_stays_one_file_whose_rows_can_be_read_at_any_time(tmp_path):
    log, folder = open_log(tmp_path / "log", Counts(), max_rows=1000, max_seconds=0.01), tmp_path / "log"
    for number in range(5):
        log.append(rows(number))
        wait_for(lambda number=number: written(folder) == [list(range(number + 1))])
    log.close()
    assert written(folder) == [[0, 1, 2, 3, 4]]


def test_write_file_takes_no_more_rows_when_it_is_old(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_log, "FILE_S", 0.2)
    log, folder = open_log(tmp_path / "log", Counts(), max_rows=1000, max_seconds=0.01), tmp_path / "log"
    log.append(rows(1))
    wait_for(lambda: written(folder) == [[1]])
    time.sleep(0.3)
    log.append(rows(2))
    log.close()
    assert written(folder) == [[1], [2]]  # what came after a pause is not in a file that is removed first


def test_write_file_that_has_no_room_for_a_batch_is_left_as_it_is(tmp_path):
    log, folder = open_log(tmp_path / "log", Counts(), max_rows=4, max_seconds=0.01), tmp_path / "log"
    for first in (0, 3):
        log.append(rows(*range(first, first + 3)))
        wait_for(lambda first=first: sum(map(len, written(folder))) == first + 3)
    log.close()
    assert written(folder) == [[0, 1, 2], [3, 4, 5]]


def test_write_whoever_opens_a_file_once_reads_it_whole(tmp_path):
    log, folder = open_log(tmp_path / "log", Counts(), max_rows=10_000, max_seconds=0.0), tmp_path / "log"
    log.append(rows(0))
    wait_for(lambda: written(folder))
    lengths, until = [], time.monotonic() + 1.0
    while time.monotonic() < until:
        log.append(rows(1))
        with next(folder.glob("[!.]*.parquet")).open("rb") as file:
            lengths.append(pl.read_parquet(file).height)
    log.close()
    assert lengths == sorted(lengths)
    assert lengths[-1] > lengths[0]


def test_write_failed_rows_leave_those_of_the_same_file(tmp_path):
    counts, folder = Counts(), tmp_path / "log"
    log = open_log(folder, counts, max_rows=1000, max_seconds=0.01)
    log.append(rows(1))
    wait_for(lambda: written(folder) == [[1]])
    log.append([{"n": "no number"}])
    wait_for(lambda: counts.get("dropped") == 1)
    log.append(rows(2))
    log.close()
    assert written(folder) == [[1, 2]]


def test_write_removes_what_is_older_than_is_kept_and_nothing_else(tmp_path):
    yesterday = datetime.now(UTC) - timedelta(days=1)
    old = {"20200101T000000.000000-abcdef.parquet", ".20200101T000000.000000-abcdee.parquet.tmp"}
    others = {f"{yesterday:{parquet_log.NAMED}}-abcdef.parquet", "from-elsewhere.parquet", ".journal-1.jsonl"}
    for name in old | others:
        (tmp_path / name).touch()
    log = open_log(tmp_path, Counts(), keep=timedelta(days=30))
    log.append(rows(1))
    log.close()
    left = {path.name for path in tmp_path.iterdir()}
    assert not left & old
    assert left > others
    assert len(left) == len(others) + 1


def test_append_queue_is_full_drops_counts_and_does_not_wait(tmp_path):
    counts = Counts()
    log = open_log(tmp_path / "log", counts, max_waiting=2, max_rows=1)
    accepted = sum(log.append(rows(number)) for number in range(2000))
    log.close()
    assert counts.get("written") == accepted
    assert counts.get("dropped", 0) == 2000 - accepted


def test_write_disk_refuses_rows_are_counted_and_later_ones_written(tmp_path, caplog):
    counts, folder = Counts(), tmp_path / "log"
    log = open_log(folder, counts, max_rows=1)
    folder.write_text("a file where the folder should be: every write fails, also for root")
    log.append(rows(1))
    log.append(rows(2))
    wait_for(lambda: counts.get("dropped") == 2)
    folder.unlink()
    log.append(rows(3))
    log.close()
    assert written(folder) == [[3]]
    assert counts == {"dropped": 2, "written": 1}
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 1


def test_write_row_of_another_shape_is_dropped_and_the_log_goes_on(tmp_path):
    counts = Counts()
    log = open_log(tmp_path / "log", counts, max_rows=1)
    log.append([{"n": "no number"}])
    log.append(rows(1))
    log.close()
    assert written(tmp_path / "log") == [[1]]
    assert counts == {"dropped": 1, "written": 1}


def test_write_leaves_no_temporary_file(tmp_path):
    log = open_log(tmp_path / "log", Counts())
    log.append(rows(1))
    log.close()
    assert [path.suffix for path in (tmp_path / "log").iterdir()] == [".parquet"]


def test_killed_process_loses_no_more_than_the_stated_time(tmp_path):
    program = (
        "import sys, time; from test_parquet_log import Counts, open_log, rows; from pathlib import Path\n"
        "log = open_log(Path(sys.argv[1]), Counts(), max_rows=10_000, max_seconds=0.5)\n"
        "while True: log.append(rows(time.time_ns())); time.sleep(0.005)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, cwd=Path(__file__).parent) as process:
        wait_for(lambda: len(written(tmp_path)) >= 1)
        time.sleep(1.2)
        killed_ns = time.time_ns()
        process.send_signal(signal.SIGKILL)
    newest_ns = max(n for file in written(tmp_path) for n in file)
    assert (killed_ns - newest_ns) / 1e9 < 1.0  # half a second until a file is full, and the time to write it
