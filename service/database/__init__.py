"""The one database: who is registered, which version serves which domain, which jobs there are.

Functions take a connection, so that what belongs together happens in one transaction. Rows come back as frozen
dataclasses. SQLite by default, Postgres by URL.
"""
