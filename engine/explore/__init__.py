"""What can be done with objects and runs once there are some: interpolate, inspect, keep and regenerate."""
