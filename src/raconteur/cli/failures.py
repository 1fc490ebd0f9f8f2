"""How a command fails: a known error is one clear line on stderr and status 1, anything else is a bug with a traceback.

Used by `raconteur` and by the programs that it starts, so that a failure reads the same wherever it happened.
"""

import errno
import os
import sys
from collections.abc import Callable

from raconteur.errors import RaconteurError

DEBUG = "RACONTEUR_DEBUG"  # set by `raconteur --debug`; the programs that are started inherit it
INTERRUPTED = 130


def run_program(app: Callable[[], object]) -> None:
    """Runs a Typer app; returns or exits with the status that says how it went."""
    try:
        app()
    except RaconteurError as error:
        _refuse(error, str(error))
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        _refuse(error, f"the disk is full ({error.filename or 'temporary files'}); free some space and start again")
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _refuse(error: Exception, message: str) -> None:
    if os.environ.get(DEBUG):
        raise error
    print(f"error: {message}", file=sys.stderr)
    sys.exit(1)
