"""``amends demo``: three services, orders, every kind of fault, and an audit of the services' own books.

`shop` and `company` are what a user writes: sagas and their steps.  `services` is the world outside:
payment, inventory and shipping, each a process with its own SQLite file, who meet faults drawn from
the seed.  `worker` is the process that gets killed.  `run` starts them all, `customers` order (from
the seed, or from a process log that `logfile` reads), `kills` kills.  `audit` reads the services'
books and nothing else.

Nothing else in amends imports this package, apart from the command line.
"""
