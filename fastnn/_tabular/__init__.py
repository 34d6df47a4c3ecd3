"""What the command line does with tables: train, predict, describe, convert."""
