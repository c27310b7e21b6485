"""HTTPS of apps: certificates, their renewal and who gets them."""
