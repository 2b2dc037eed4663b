"""Programs that do the worker's job in other ways, each as its documentation recommends and at its best settings.

They read the same messages, decide by the same core, write the same tables and send the same records.
"""
