"""The errors that a caller of Raconteur can meet.

RaconteurError
├── ConfigError    (ValueError)    a setting is unknown, of the wrong type, or impossible with another
├── DataError      (ValueError)    a file, table or row is missing, malformed or breaks its contract
├── TrainingError  (RuntimeError)  training diverged, collapsed, or met a checkpoint of another config
├── ArtifactError  (RuntimeError)  a model folder is absent, incomplete or fails its checksums
├── ServingError   (RuntimeError)  a server did not start, is not ready, or answered out of protocol
└── PipelineError  (RuntimeError)  a pipeline could not be compiled, run or submitted

A message says what, got, expected and the next step. The command line prints it as one line and exits with status 1.
"""


class RaconteurError(Exception):
    """Any failure that Raconteur foresees; the message is written for the person who meets it."""


class ConfigError(RaconteurError, ValueError):
    """A setting is unknown, of the wrong type, or impossible with another."""


class DataError(RaconteurError, ValueError):
    """A file, table or row is missing, malformed or breaks its contract."""


class TrainingError(RaconteurError, RuntimeError):
    """Training diverged, collapsed, or met a checkpoint of another config."""


class ArtifactError(RaconteurError, RuntimeError):
    """A model folder is absent, incomplete or fails its checksums."""


class ServingError(RaconteurError, RuntimeError):
    """A server did not start, is not ready, or answered out of protocol."""


class UnaskedError(ServingError):
    """A part was not asked, for want of time or room or for what it never answers: no fault of the part."""


class PipelineError(RaconteurError, RuntimeError):
    """A pipeline could not be compiled, run or submitted."""
