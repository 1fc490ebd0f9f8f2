"""The feature lists that models and servers are built against; a changed list is a new version beside the old one."""

from feast import FeatureService
from views import item_features, narratives, user_features

from raconteur import columns as c
from raconteur.features import names as f

# What a training row knows about its user and item at the moment of the target.
training_v1 = FeatureService(
    name="training_v1",
    features=[
        user_features[
            [
                f.NUM_EVENTS,
                f.NUM_TARGETS,
                f.NUM_ITEMS,
                f.MEAN_VALUE,
                f.SHARE_SHORT,
                f.DAYS_SINCE_LAST,
                f.TOP_CATEGORIES,
                f.RECENT_ITEMS,
            ]
        ],
        item_features[[c.CATEGORIES, c.AVAILABLE, f.NUM_EVENTS, f.NUM_TARGETS, f.NUM_RECENT_TARGETS]],
    ],
    description="Point-in-time rows of the split's targets",
)

# What the recommender knows of a user; serving/path/features.py reads these rows without looking the service up.
recommender_v1 = FeatureService(
    name="recommender_v1",
    features=[user_features, narratives],
    description="State and narrative of one user",
)
