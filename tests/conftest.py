"""What holds for every test, whichever of them runs first."""

import hypothesis
import prometheus_client  # noqa: F401  # before Feast, which makes it share its values among processes and registries

# A property holds or does not; how long an example takes on a busy machine is no part of it.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")
