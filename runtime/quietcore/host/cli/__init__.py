"""The host's commands: plan, apply, audit, revert. Standard library only."""
