"""Webhooks: what is sent, to whom, and again when it fails."""
