"""Models: functions of a tree of parameters, one package for each kind, and the classifier."""
