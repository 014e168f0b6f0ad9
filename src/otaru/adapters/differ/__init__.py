"""Deltas are made in worker processes: `process` starts and watches them, `worker` is what runs in one."""
