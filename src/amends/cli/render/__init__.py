"""What people read: rich renderables made from headers, stories and reports. No I/O."""
