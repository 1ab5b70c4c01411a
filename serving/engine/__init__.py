"""The engine: which model, with which arguments on this hardware, and whether what came up answers rightly."""
