"""The whole path played with real parts; nothing else imports it."""
