"""The durable log: experiences, batches, versions, target sentences and probes, in SQLite or PostgreSQL.

Knows records, tables and transactions. Refuses to know tensors, models and Ray.
"""
