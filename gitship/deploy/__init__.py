"""Deploy pipeline and its stages."""
