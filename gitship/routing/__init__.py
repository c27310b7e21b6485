"""What Varnish is told of each app: routes, gates, pauses, canaries, and the end of old releases."""
