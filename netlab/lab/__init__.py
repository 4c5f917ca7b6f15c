"""The life of a lab on its host: settings, locks, its daemon's process, the undo ledger, its end.

What ``netlab up``, ``down`` and ``status`` do, as functions with typed results. Knows no command
line: a test plugin or a web page calls the same ones. Everything here runs as root on the lab's own
machine; ``kubectl`` (the folder and the program) speaks to a lab from anywhere.

``settings``   words of a user -> a ``LabConfig``
``labs``       the labs of this machine and their settings on disk
``start``      bring a lab up, or bring it back
``stop``       take it down and give everything back (``teardown``, ``ledger``)
``health``     is it up, and how are its parts?
``entering``   a command on the lab's node
``preflight``  what the machine must offer (``facts`` collects what it does)
"""
