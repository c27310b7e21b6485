"""HTTPS: haproxy ends TLS and hands the connections over to Varnish, with who the visitor is in front."""
