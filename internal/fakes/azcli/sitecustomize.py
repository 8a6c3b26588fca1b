# Debian 12 ships azure-cli 2.45 with a newer azure-mgmt-authorization, whose operations
# have no attribute "config" any more. Without it each `az role assignment` command fails
# with an AttributeError. Python runs this file at the start of az.
import sys

if "role" in sys.orig_argv:
    try:
        from azure.mgmt.authorization.v2018_01_01_preview.operations import RoleDefinitionsOperations
        from azure.mgmt.authorization.v2020_04_01_preview.operations import RoleAssignmentsOperations
    except ImportError:  # another version of az, which needs nothing
        pass
    else:
        for operations in RoleAssignmentsOperations, RoleDefinitionsOperations:
            if not hasattr(operations, "config"):
                operations.config = property(lambda self: self._config)
