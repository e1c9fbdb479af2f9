"""Tables with a row per sample: CSV and TSV, Parquet, and what their labels mean."""
