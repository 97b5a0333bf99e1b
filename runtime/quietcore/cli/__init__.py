"""The command `quietcore`: one module a command, imported only when it is asked for."""
