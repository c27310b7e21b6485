"""Backup of the whole server as one tar archive, and restore from it; targets, encryption and retention of backups."""
