"""A short run of `tests.fault.deliveries`."""

import os

from tests.fault import deliveries


def test_deliveries_survive_kills_of_the_api_redis_and_a_shard() -> None:
    seed = int(os.environ.get("FAULT_SEED", "11"))

    outcome = deliveries.run(deliveries=400, kills=3, seed=seed)

    assert outcome.is_correct, f"seed {seed}: {outcome}"
    assert outcome.kills.keys() == {"api:0", "redis", "shard:0"}
