"""The whole pipeline on this machine: private names, free ports, nothing left behind."""
