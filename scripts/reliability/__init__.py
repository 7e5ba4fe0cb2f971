"""docs/reliability.md: its figures are measured and its tables written here, never by hand.

``python -m scripts.reliability`` measures and writes; ``python -m scripts.reliability page`` only writes the
tables anew, from the code as it is and the figures as they were last measured (docs/reliability.json).
"""
