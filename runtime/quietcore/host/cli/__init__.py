"""The host's commands: plan, apply, audit, revert, pin. Standard library only."""
