"""Which pre-training transfers best: one YAML file in, Slurm jobs, tables and figures out."""

__version__ = "0.1.0"
