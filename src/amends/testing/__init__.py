"""Testing sagas: every failure path, virtual time, recorded journals."""
