"""Schedules: sagas started by the clock.

**Theory of operation.**  A schedule is itself an execution, of the saga `amends.schedule` (`running`):
durable, owned by one worker at a time, asleep between its ticks, seen and acted upon like any other.  So
nothing is needed of a store, and nothing polls.

*Exactly one start for each tick.*  The id of what is started is made of the schedule's name and the tick; the
step that starts it is repeated after a crash, and starting an id again is no second start.

*The same ticks on replay.*  Which tick comes next is asked in a step, whose answer is journaled: a newer
library or time zone table changes ticks to come, never those that were.
"""
