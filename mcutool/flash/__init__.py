"""Serial flashing: what to write (plan), how to get it there on a bad line (engine), and the port itself (link)."""
