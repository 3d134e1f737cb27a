"""The command line, and the same plan as a Prefect flow."""
