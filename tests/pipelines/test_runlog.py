from pipelines.runlog import RunLog, StepEvent

STARTED = "10:00:00.000 - INFO - Executing task \x1b[96m'prepare'\x1b[0m\n"
ENDED = "10:00:01.000 - INFO - Task \x1b[96m'prepare'\x1b[0m finished with status \x1b[92mSUCCESS\x1b[0m\n"
FAILED = "10:00:01.000 - INFO - Task \x1b[96m'prepare'\x1b[0m finished with status \x1b[91mFAILURE\x1b[0m\n"
CACHED = "INFO:root:Task narrate cache hit (key=cb0e764d4b2d); skipping execution.\n"


def read(folder, *texts) -> list[StepEvent]:
    events: list[StepEvent] = []
    with RunLog(folder, events.append) as log:
        for text in texts:
            log.write(text)
    return events


def test_runlog_steps_become_events(tmp_path):
    events = read(tmp_path, STARTED, "    step 1/3 loss 0.5\n", ENDED, CACHED)

    assert events == [
        StepEvent("prepare", "started"),
        StepEvent("prepare", "line", "step 1/3 loss 0.5"),
        StepEvent("prepare", "done"),
        StepEvent("narrate", "cached"),
    ]


def test_runlog_line_in_pieces_is_read_whole(tmp_path):
    assert read(tmp_path, STARTED[:20], STARTED[20:]) == [StepEvent("prepare", "started")]


def test_runlog_failed_step_is_named(tmp_path):
    log = RunLog(tmp_path, lambda _: None)
    for text in (STARTED, "    the loss is nan\n", FAILED):
        log.write(text)
    log.close()

    assert log.failed == "prepare"
    assert list(log.tail) == ["the loss is nan"]


def test_runlog_executor_chatter_is_kept_in_the_file_and_not_shown(tmp_path):
    chatter = "    [KFP Executor 2026-01-01 INFO]: Looking for component `prepare`\n"
    events = read(tmp_path, STARTED, chatter, '    "inputs": {\n')

    assert events == [StepEvent("prepare", "started")]
    assert "Looking for component" in (tmp_path / "prepare.log").read_text()
