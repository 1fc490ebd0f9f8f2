"""From a raw log to a prepared data set: readers, contracts, splits, candidate lists and the embedded world."""
