"""Payloads in envelopes: compressed, and encrypted with a key per subject that can be forgotten.

**Theory of operation.**  A store keeps what is given to it; `store.enclosed` stands before it and puts every
payload into an envelope on the way in, and takes it out on the way back.  So the kernel, the worker and
whoever looks see open values, and nothing of this is loaded, or costs anything, where no codec is given.

* *What is enclosed*: every value in the journal and the inbox (`payloads` tells by the types of the
  entries), messages and details of errors, reasons of residue, and an execution's input, result and detail.
  *What stays clear*: the shape (entries, action ids, names of steps and of error types, times, statuses),
  ids, attributes, keys of messages, what operators say, and the audit.
* *Keys*.  A **data key** belongs to one subject of one namespace (the subject ``""`` is that of all
  executions which name none).  It stands in the store, wrapped by a **master key** that the store never
  sees.  Each execution's payloads are encrypted by a key derived from the data key and the execution's uid,
  so that random 96 bit nonces do not meet under one key however many executions there are.
* *Binding*.  An envelope's associated data are its own head, the uid of its execution and the place of the
  payload there (entry, action id, field).  Moved elsewhere it does not open.
* *Checksums* of the journal are over what is stored.  Forgetting changes no row, so they stay valid, and the
  shape can be read without any key.

Failure points, and why they are right:

* *Forgotten between two commits.*  A data key is used for at most `KeyRing.lifetime` seconds after the store
  said that it is there; then it is asked for again.  Gone, the write is refused, the execution is read again,
  and parked (`Unopened`).
* *The master key cannot be reached* (a KMS that is down): `KeyUnavailable`, which is a `StoreBusy`: nothing
  was changed, and the worker tries again.
* *Killed while keys are wrapped anew*: each key is replaced by itself, if it is still as it was read; what is
  done needs no second time, what is not is found by its master key's name.
* *Two make a subject's key at once*: the store keeps one, both use that.
"""

from .codec import Codec
from .keyring import KeyRing
from .masters import Kms, Master, MasterKey

__all__ = ["Codec", "KeyRing", "Kms", "Master", "MasterKey"]
