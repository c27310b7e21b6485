"""One-off containers: `run`, `enter` and the runs of cron entries."""
