"""One-off containers: `run`, `enter` and cron runs."""
