"""All that knows promptflow: flows of the kinds DAG, flex and prompty.

promptflow gets no new features (Microsoft Learn: "Migrate from Prompt Flow to Microsoft Agent
Framework"), and its version is pinned by each flow's lock; so the names behind its public ones that
this package uses stay as they are.
"""
