"""Reconciler: brings containers, routes and volumes to the state in the store."""
