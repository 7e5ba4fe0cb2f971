"""Conditions over executions: the language of ``list --where``, and what it means.

**Theory of operation.**  A text is parsed into a small tree of `Term` (`parsing`), which a store either asks
of each header (`matching`: memory) or turns into SQL (`sql`: SQLite and PostgreSQL).  The tree has two truth
values only: a comparison with what is not there is false, and `not` turns false into true.  So `!=` is
exactly `not =`, and the three stores agree on every header (a property test compares them).

*Attributes* are found by an index of their own, one row for each attribute, which the database keeps by
itself (a trigger), so that workers of a release that does not know of it cannot leave it behind.  What it
holds is said once, in `terms.indexed`: texts up to 500 characters, numbers, and truths (true is 1, false
is 0).
"""
