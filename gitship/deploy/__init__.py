"""The deploy pipeline and its stages."""
