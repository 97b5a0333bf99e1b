"""The host below the pipeline: which cores do what, what was promised, whether it holds, and the way back.

Standard library only and relative imports only: the same files run as the on-host command, inside Ansible's
modules (as `module_utils`) and in tests over a copied tree.
"""
