"""The whole server in one tar archive, and a server out of one."""
