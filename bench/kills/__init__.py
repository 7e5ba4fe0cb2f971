"""The same schedule of kills for amends and for DBOS, judged from one book: ``python -m bench.kills``.

**What is compared.**  Both programs run the same sagas, written as their documentation teaches and with the
care that each of them asks for (see `ours` and `peer`).  A life of a worker begins with more sagas and ends
with SIGKILL once the book has grown by so many lines; which lives and how many lines a seed decides, the same
for both.  One worker then finishes what is left, and the book is audited.  Not speed: that is
`python -m bench`.
"""
