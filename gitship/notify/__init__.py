"""Webhooks: messages, delivery and retries."""
