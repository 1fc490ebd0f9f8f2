"""A prepared data set of a very small world, made once."""

import pytest

from raconteur.config.schema import Config
from raconteur.data.prepare import prepare


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("small")
    config = Config.model_validate(
        {
            "workdir": str(workdir),
            "data": {"min_value": 10},
            "world": {"num_users": 80, "num_items": 60, "num_days": 40},
            "text": {"vocab_size": 300},
        }
    )
    prepare(config, workdir / "data")
    return config
