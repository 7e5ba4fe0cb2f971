"""Definitions: sagas, steps, policies, and the port by which calls reach the kernel. No I/O, no replay."""
