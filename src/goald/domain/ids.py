"""Id types, so that a type checker distinguishes the kinds of ids.

Ids that the platform assigns are opaque text. Ids that goald assigns are UUIDs.
"""

from typing import NewType
from uuid import UUID

TenantId = NewType("TenantId", str)
ContactId = NewType("ContactId", str)
WorkflowId = NewType("WorkflowId", str)
EnrollmentId = NewType("EnrollmentId", str)
GoalId = NewType("GoalId", UUID)
AchievementId = NewType("AchievementId", UUID)
