"""Run a flow over a data set, have evaluation flows score its answers, and check thresholds."""
