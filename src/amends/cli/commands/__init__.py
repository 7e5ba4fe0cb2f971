"""The commands, one module per group; see `app` for the table."""
