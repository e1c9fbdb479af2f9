"""What the nodes of a cluster have: CPUs of a GPU, and the most that a job may ask of one."""
