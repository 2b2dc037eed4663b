"""Signed messages: CloudEvents' Verifiable CloudEvents with DSSE, by Ed25519 or ES256 (docs/signatures.md)."""
