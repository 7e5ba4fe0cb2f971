"""The engine: wires store, worker and client API."""
