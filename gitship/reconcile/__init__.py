"""What should run against what runs: containers, routes and volumes are brought back to what the store says."""
