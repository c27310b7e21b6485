"""Configures Varnish for apps: routes, access, pauses, canaries and draining."""
