"""amends on PostgreSQL beside its peers, the raw rate of the same rows, and itself with more workers."""
