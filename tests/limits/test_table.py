"""Every row of the table of limits, attacked."""
