"""Images that nobody should have made: refused with a reason, or run inside their sandbox."""
