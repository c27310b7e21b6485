"""Monitoring of running apps: state, traffic, uptime and resource use."""
