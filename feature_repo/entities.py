"""What features are about."""

from feast import Entity
from feast.value_type import ValueType

from raconteur.columns import ITEM_ID, USER_ID

user = Entity(name="user", join_keys=[USER_ID], value_type=ValueType.STRING, description="A user of the log")
item = Entity(name="item", join_keys=[ITEM_ID], value_type=ValueType.STRING, description="An item of the catalogue")
