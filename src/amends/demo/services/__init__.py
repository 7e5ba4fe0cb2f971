"""The world outside: payment, inventory and shipping, each a process with its own books.

They know nothing of sagas: they answer ``POST /<account>/do`` and ``POST /<account>/undo``, write what
they did into their ledger, and see the faults that `faults` draws for them.
"""

ACCOUNTS: dict[str, tuple[str, ...]] = {
    "payment": ("money", "invoice", "reminder", "receipt"),
    "inventory": ("stock",),
    "shipping": ("label", "parcel"),
}
"""What each service keeps account of."""

SERVICES = tuple(ACCOUNTS)
SERVICE_OF = {account: service for service, accounts in ACCOUNTS.items() for account in accounts}

ABLATION = "AMENDS_DEMO_ABLATION"
NO_BARRIER = "no-barrier"
"""With this value the environment variable switches the services' barrier off, to show that the audit sees
it."""
