#!/usr/bin/python
"""Ansible's front of the audit."""

from __future__ import annotations

DOCUMENTATION = r"""
module: quietcore_audit
short_description: Compare a host's effective state with what the roles promised
description:
  - Reads effective state only and changes nothing.
  - Fails where a promise does not hold, where a value cannot be read, and where something is unsupported that
    I(expected_unsupported) does not list.
options:
  expected_unsupported:
    description: Ids of settings that this kind of host is known not to offer; any other one fails.
    type: list
    elements: str
    default: []
  pending_reboot_ok:
    description: Whether settings that only wait for a reboot pass.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
  diff_mode:
    support: none
author:
  - Quietcore
"""

EXAMPLES = r"""
- name: Audit the host
  quietcore_audit:
    expected_unsupported: [cpu_power.governor]
  register: audit
"""

RETURN = r"""
findings:
  description: One for each promise, with verdict, wanted, found, cause and remedy.
  type: list
  elements: dict
  returned: always
table:
  description: The findings as lines of a table, as C(quietcore audit) prints them.
  type: list
  elements: str
  returned: always
unexpected:
  description: Ids of settings that are unsupported although nobody expected it.
  type: list
  elements: str
  returned: always
pending:
  description: Ids of settings that wait for a reboot.
  type: list
  elements: str
  returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.quietcore.installed import prefer_installed

prefer_installed()

from ansible.module_utils.quietcore.errors import QuietcoreError
from ansible.module_utils.quietcore.host.audit import audit, summary
from ansible.module_utils.quietcore.host.cli.audit import render
from ansible.module_utils.quietcore.host.findings import Verdict, is_listed
from ansible.module_utils.quietcore.host.machine import Machine
from ansible.module_utils.quietcore.host.module_result import failure_message


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "expected_unsupported": {"type": "list", "elements": "str", "default": []},
            "pending_reboot_ok": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    try:
        findings = audit(Machine())
    except QuietcoreError as error:
        module.fail_json(msg=failure_message(error), exit_code=int(error.code))
    pending = [item.id for item in findings if item.verdict is Verdict.PENDING]
    lacking = [item.id for item in findings if item.verdict is Verdict.UNSUPPORTED]
    unexpected = [name for name in lacking if not is_listed(name, module.params["expected_unsupported"])]
    failed = [
        item
        for item in findings
        if item.failed and not (item.verdict is Verdict.PENDING and module.params["pending_reboot_ok"])
    ]
    result = {
        "changed": False,
        "findings": [item.to_json() for item in findings],
        "table": [*render(findings).splitlines(), summary(findings)],
        "unexpected": unexpected,
        "pending": pending,
    }
    problems = [
        f"{item.id} ({item.verdict.value}): {item.found}; {item.cause}; remedy: {item.remedy}"
        for item in failed
    ]
    problems += [
        f"{name}: unsupported here, which this kind of host is not known for; "
        "remedy: add it to quietcore_expected_unsupported if that is right"
        for name in unexpected
        if name not in {item.id for item in failed}
    ]
    if problems:
        module.fail_json(msg="\n".join([summary(findings), *problems]), **result)
    module.exit_json(msg=summary(findings), **result)


if __name__ == "__main__":
    main()
