"""What an app's repository says of how it runs, and what commands set over that. Pure."""
