"""What a run found as data: JSON Lines, Parquet and HDF5, written frame by frame and read back; see docs/data.md."""
