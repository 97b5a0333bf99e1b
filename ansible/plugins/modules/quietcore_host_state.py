#!/usr/bin/python
"""Ansible's front of `quietcore.host`: a role's promises, brought about or put back."""

from __future__ import annotations

DOCUMENTATION = r"""
module: quietcore_host_state
short_description: Bring a host to what a role promises, or back to what was there before
description:
  - Records a role's settings in C(/etc/quietcore/host.d/<role>.json), and brings them about.
  - Before the first change of anything its previous value goes into C(/var/lib/quietcore/journal.jsonl).
  - Refuses, before anything is changed, what can never be right on this host.
  - Never reboots; it says whether a reboot is due.
options:
  role:
    description: Whose promises these are. Only where everything is reverted it may be left out.
    type: str
  state:
    description: C(applied) brings the settings about; C(reverted) puts back what the role changed.
    type: str
    choices: [applied, reverted]
    default: applied
  settings:
    description: The promises, each with C(id), C(kind), C(name), C(wanted) and C(why).
    type: list
    elements: dict
    default: []
  required:
    description: Whether it is a failure that this kernel or hardware does not offer a setting.
    type: bool
    default: true
  expected_unsupported:
    description: Ids of settings that this kind of host is known not to offer.
    type: list
    elements: str
    default: []
  menu:
    description: Whether GRUB's menu is written C(now), or C(later) by another role of the same run; it is slow.
    type: str
    choices: [now, later]
    default: now
attributes:
  check_mode:
    support: full
  diff_mode:
    support: full
author:
  - Quietcore
"""

EXAMPLES = r"""
- name: Promise a quiet swap
  quietcore_host_state:
    role: sysctl
    settings:
      - id: sysctl.vm.swappiness
        kind: sysctl
        name: vm.swappiness
        wanted: "0"
        why: a page that comes back from swap costs milliseconds

- name: Put back what the role changed
  quietcore_host_state:
    role: sysctl
    state: reverted
"""

RETURN = r"""
reboot_required:
  description: Whether something takes effect at the next boot only.
  type: bool
  returned: always
unsupported:
  description: Ids of settings that this kernel or hardware does not offer.
  type: list
  elements: str
  returned: always
notes:
  description: What else is to be said.
  type: list
  elements: str
  returned: always
findings:
  description: How each setting stands after the run.
  type: list
  elements: dict
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.quietcore.installed import prefer_installed

prefer_installed()

from ansible.module_utils.quietcore.errors import QuietcoreError
from ansible.module_utils.quietcore.host.converge import loosen, promise, revert
from ansible.module_utils.quietcore.host.machine import Machine
from ansible.module_utils.quietcore.host.module_result import failure_message, outcome_result


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "role": {"type": "str"},
            "state": {"type": "str", "choices": ["applied", "reverted"], "default": "applied"},
            "settings": {"type": "list", "elements": "dict", "default": []},
            "required": {"type": "bool", "default": True},
            "expected_unsupported": {"type": "list", "elements": "str", "default": []},
            "menu": {"type": "str", "choices": ["now", "later"], "default": "now"},
        },
        required_if=[("state", "applied", ["role"])],
        supports_check_mode=True,
    )
    given = module.params
    machine = Machine()
    try:
        if given["state"] == "reverted":
            roles = [given["role"]] if given["role"] else None
            outcome = revert(machine, roles, check=module.check_mode)
        else:
            settings = loosen(given["settings"], given["required"], given["expected_unsupported"])
            later = given["menu"] == "later"
            outcome = promise(
                machine, given["role"], settings, module.check_mode, given["role"], menu_later=later
            )
    except QuietcoreError as error:
        module.fail_json(msg=failure_message(error), exit_code=int(error.code))
    result = outcome_result(outcome)
    for note in outcome.notes:
        module.warn(note)
    if outcome.failures:
        module.fail_json(msg="; ".join(outcome.failures), **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
