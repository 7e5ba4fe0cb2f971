"""The amends side: the sagas, and the processes that measure them."""
