"""A venue on this machine: replays a recording's raw frames or a generated session, and takes orders."""
