"""Benchmarks of amends: each figure beside a peer and beside the raw limit, measured in the same run.

`python -m bench` runs all of it, `python -m bench throughput --quick` a part; see `bench/README.md`.
"""
