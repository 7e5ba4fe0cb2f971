"""Steps that run where their queue is served: how they leave the owner, who runs them, how their ends come
back.

**Theory of operation.**  To the kernel a step with a queue is a step like any other: its intent is journaled,
its end is an event, and all that follows from an end (retries, taint, settling, compensation, parking) is
decided by the same functions, with the same journal.  Only *where* an attempt runs is different:

    owner                               store                       who serves the queue
    row with the intent, and its task ─►  task                      (`server`)
      (`issuing`, one commit)             leased  ◄── take ───────  runs the function, with the action's key
                                          due     ◄── renew ──────  a sign of life; hears that it is cancelled
    inbox ◄── report and done ────────────┤       ◄── report ─────  its value, or what it raised
    row with the event, task dropped ──►  gone
      (`hearing`, one commit)

Why nothing is lost and nothing runs unseen, wherever it breaks off:

* *Owner, before its commit*: neither row nor task. *After it*: both; the task does not need the owner, and
  the report waits in the inbox, which wakes the execution.  Whoever loads an execution adds the tasks of its
  open actions again (`Issuing.ensure`), which changes nothing where they are; so an action whose step got its
  queue by a later release, and an execution that was imported, find their way, too.
* *Server, before it reports*: its lease lapses, somebody takes the task again, with the same key.  The report
  then counts the lapses; one of them is enough to taint the action (its attempt may have had an effect), and
  its compensation waits as long as after the death of a local worker: timeout and grace.
* *Server, after it reported*: state and message are one transaction, so the answer it did not get is the same
  the second time.
* *A server that was only slow* finds its lease gone: its report is refused.  It has stopped its attempt by
  itself when it could not renew in time, unless the function is one that cannot be stopped.
* *The owner no longer wants it* (cancel, a timeout of the saga): the task is cancelled, and its end is
  awaited like that of any other attempt: withdrawn if nobody had taken it, else what its holder says, or its
  lapse.
* *An operator decides while it runs*: its compensation is a task as well, and stores do not give it to
  anybody before the action's own task is done.

Calls of a step that has a batch function run together (`batches`); each is a task and an attempt like any.

Attempts of one action are numbered by the owner; each is a task of its own with a number that never comes
again, so a token of an earlier attempt opens nothing.
"""
