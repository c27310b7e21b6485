"""How a command is declared, found, asked and shown. The commands themselves are in ``gitship.commands``."""
