"""What has to hold for long."""
