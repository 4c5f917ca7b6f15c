"""kubectl's verbs, for those who have no kubectl: same text, same exit codes, same requests.

Frozen where they are: what they do not know (a verb, a flag) is the real kubectl's, and a kind
they have no words of their own for is printed through the server's Table and described in general.
Speaks HTTPS to whatever cluster the kubeconfig names; knows no lab.
"""
