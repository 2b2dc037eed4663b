"""What is kept in Postgres: everything that follows from a batch is stored in one transaction.

Everything that uses a session raises what ``outbox.database.translate_errors`` names; docstrings list other errors.
"""
