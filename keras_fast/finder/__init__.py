"""Where on a loss curve is a good rate? Plain functions of two arrays."""
