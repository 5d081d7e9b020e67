"""What people see: drawings on images, recordings, reports."""
