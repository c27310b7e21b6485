"""Framework for commands: declaring, parsing, prompting and printing. The commands are in ``gitship.commands``."""
