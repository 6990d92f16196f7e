"""The report floor: tables, explanations and figures made from a study.

Nothing here simulates and nothing here is imported by the floors below. matplotlib is imported
only when a figure is drawn, so that tables and explanations stay quick.
"""
