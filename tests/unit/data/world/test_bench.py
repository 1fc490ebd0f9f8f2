from raconteur.config.schema import WorldConfig
from raconteur.data.world.bench import bench_world


def test_bench_world_reports_speed() -> None:
    facts = bench_world(WorldConfig(num_users=30, num_items=40, num_days=10))
    assert facts["world_events"] > 0
    assert facts["world_events_per_s"] > 0
