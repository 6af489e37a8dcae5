"""Scoring of DAG flows, flex flows and prompties; no other package of the server uses promptflow.

This package uses private names of promptflow. They stay as they are: promptflow gets no new
features (Microsoft Learn: "Migrate from Prompt Flow to Microsoft Agent Framework"), and each flow's
lock pins its version.
"""
