"""The explorer for programs: JSON in, JSON out, over HTTP."""
