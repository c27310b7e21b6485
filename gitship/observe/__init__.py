"""What is seen of apps while they run: state, traffic, uptime, and what their containers use."""
