"""The guards of merged contacts (E21)."""

from tests.fault.guards.merges.deletion import DELETION_GUARDS
from tests.fault.guards.merges.forwarded import FORWARDED_GUARDS
from tests.fault.guards.merges.merge import MERGES_ALONE
from tests.fault.guards.merges.transfer import TRANSFER_GUARDS

MERGE_GUARDS = (*MERGES_ALONE, *TRANSFER_GUARDS, *FORWARDED_GUARDS, *DELETION_GUARDS)
