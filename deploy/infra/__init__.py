"""What is made once, before the first deploy: written as Bicep, asked for, compared."""
