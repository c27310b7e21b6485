"""Containers of a release: started, checked, accounted for, attached to."""
