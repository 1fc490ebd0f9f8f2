import errno

import pytest

from raconteur.cli.failures import DEBUG, INTERRUPTED, run_program
from raconteur.errors import DataError


def failing(error: BaseException):
    def app() -> None:
        raise error

    return app


def test_run_program_known_error_is_one_line(capsys, monkeypatch):
    monkeypatch.delenv(DEBUG, raising=False)
    with pytest.raises(SystemExit) as ended:
        run_program(failing(DataError("items.csv is missing; put it beside events.csv")))
    assert ended.value.code == 1
    assert capsys.readouterr().err == "error: items.csv is missing; put it beside events.csv\n"


def test_run_program_full_disk_says_so(capsys, monkeypatch):
    monkeypatch.delenv(DEBUG, raising=False)
    with pytest.raises(SystemExit) as ended:
        run_program(failing(OSError(errno.ENOSPC, "No space left on device", "runs/x.parquet")))
    assert ended.value.code == 1
    assert "the disk is full (runs/x.parquet)" in capsys.readouterr().err


def test_run_program_other_errors_keep_their_traceback():
    with pytest.raises(PermissionError):
        run_program(failing(PermissionError(errno.EACCES, "denied")))
    with pytest.raises(ZeroDivisionError):
        run_program(failing(ZeroDivisionError()))


def test_run_program_debug_raises_the_known_error(monkeypatch):
    monkeypatch.setenv(DEBUG, "1")
    with pytest.raises(DataError):
        run_program(failing(DataError("x")))


def test_run_program_ctrl_c_gives_the_shells_status():
    with pytest.raises(SystemExit) as ended:
        run_program(failing(KeyboardInterrupt()))
    assert ended.value.code == INTERRUPTED
