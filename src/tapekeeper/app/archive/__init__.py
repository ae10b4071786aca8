"""The archive: what a journal's sealed segments make, as Parquet files that anybody can read."""
