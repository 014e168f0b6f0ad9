"""Images are read in a worker process of their own: `process` starts and watches it, `worker` is what runs in it."""
