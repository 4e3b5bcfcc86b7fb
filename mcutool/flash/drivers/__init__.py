"""One driver per protocol: from what an engine wants to what the codec of the protocol offers."""
