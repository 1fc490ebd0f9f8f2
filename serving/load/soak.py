"""A long open loop at half of what the service can do, and whether the memory of the stack stays flat meanwhile."""

from pathlib import Path
from statistics import mean

from raconteur.errors import ServingError
from serving.load.caller import Caller
from serving.load.record import Record
from serving.load.watch import Sample, growth, watch

SAMPLE_S = 10.0


def soak(
    caller: Caller, stack: Path | None, *, per_second: float, minutes: float, sample_s: float = SAMPLE_S
) -> tuple[Record, list[Sample]]:
    """
    Args:
        stack: folder of the stack on this machine; None: there is no memory to watch.
        per_second: measured throughput; half of it is sent.

    Raises:
        ServingError: the throughput is 0, so there is no half of it.
    """
    if not per_second:
        raise ServingError(f"{caller.address} answered no request of the closed loop; there is no load to soak it in")
    samples: list[Sample] = []
    beside = (lambda: watch(stack, samples, every_s=sample_s)) if stack else None
    record = caller.open(per_second / 2, seconds=60 * minutes, beside=beside)
    return record, samples


def memory_line(samples: list[Sample]) -> str:
    """How memory went over the soak, in one line.

    Raises:
        DataError: there are too few samples to compare fifths.
    """
    grown, fifth = growth(samples), len(samples) // 5
    first, last = (mean(one.pss_mib for one in part) for part in (samples[:fifth], samples[-fifth:]))
    return (
        f"memory: flat within {abs(grown):.1%} over {samples[-1].at_s / 60:.0f} min, {len(samples)} samples "
        f"(PSS: first fifth {first:,.0f} MiB, last fifth {last:,.0f} MiB, most {max(s.pss_mib for s in samples):,.0f})"
    )
