"""Arrow schemas, versioned Parquet datasets and DuckDB over them. Knows no models."""
