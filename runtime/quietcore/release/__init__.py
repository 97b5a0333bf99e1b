"""Packing feed handler and runtime on the controller for one kind of target. Standard library and pip only."""
