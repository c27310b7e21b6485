"""HTTPS: haproxy terminates TLS and passes connections to Varnish with the visitor's address."""
