"""The worker: commits, runs attempts, keeps time."""
