"""One file per source: each turns its own layout into a `RawLog`, all rows kept and nothing judged."""
