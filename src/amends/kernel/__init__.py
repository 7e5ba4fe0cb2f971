"""The kernel: deterministic, without I/O, clock or chance. Events in, decisions out."""

from . import compat as compat  # Python 3.11 agrees with later versions before any saga runs
