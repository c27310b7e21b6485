"""Backing services: databases, caches and queues beside the apps."""
