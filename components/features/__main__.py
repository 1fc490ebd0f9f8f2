"""The program behind `raconteur features`: builds, registers or materializes the features of a run."""

import argparse
import sys
import tempfile
from pathlib import Path

from raconteur.config.schema import Config
from raconteur.errors import RaconteurError


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="raconteur features", description=__doc__)
    parser.add_argument("action", choices=["build", "apply", "materialize"])
    parser.add_argument("--config-json", type=Path, required=True, help="the resolved config")
    parser.add_argument("--all", action="store_true", help="materialize also the rows that were written before")
    parsed = parser.parse_args(arguments)
    try:
        config = Config.model_validate_json(parsed.config_json.read_bytes())
        for name, value in _act(parsed.action, config, everything=parsed.all).items():
            print(f"{name} {value:g}")
    except (RaconteurError, OSError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _act(action: str, config: Config, *, everything: bool) -> dict[str, float]:
    # After the arguments: feast takes seconds to import.
    from components.features.materialize import materialize
    from components.features.publish import run_features
    from components.features.store import apply

    store = config.workdir / "features"
    if action == "build":
        with tempfile.TemporaryDirectory() as folder:
            return run_features(config, config.workdir / "data", store, Path(folder) / "features")
    if action == "apply":
        apply(store, online=config.features.online)
        return {}
    return materialize(store, everything=everything)


if __name__ == "__main__":
    sys.exit(main())
