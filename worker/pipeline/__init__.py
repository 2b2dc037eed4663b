"""From source record to published message: intake, lanes and the timer."""
