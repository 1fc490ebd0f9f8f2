import pytest

from raconteur.cli.monitor import Shift, shifted
from raconteur.config.schema import Config
from raconteur.errors import ConfigError


def test_shifted_world_lies_in_a_folder_of_its_own(tmp_path):
    plain = Config(workdir=tmp_path)
    changed = shifted(plain, Shift.TASTE)

    assert changed.world.shift == "taste"
    assert changed.data.path == str(tmp_path / "world-taste")
    assert changed.model_copy(update={"world": plain.world, "data": plain.data}) == plain


def test_shifted_real_log_is_refused_with_the_remedy():
    config = Config.model_validate({"data": {"layout": "movielens", "path": "x"}})
    with pytest.raises(ConfigError, match="--out <workdir>/incoming"):
        shifted(config, Shift.SEASON)


def test_shift_kinds_are_those_of_the_schema():
    for kind in Shift:
        assert Config.model_validate({"world": {"shift": str(kind)}}).world.shift == str(kind)
