"""Free space: on the disk of gitship's data and on Docker's."""
