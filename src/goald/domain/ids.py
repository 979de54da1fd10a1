"""Ids, so that a type checker tells one kind from another.

Ids that the platform owns are opaque text. Ids that goald makes are UUIDs.
"""

from typing import NewType
from uuid import UUID

TenantId = NewType("TenantId", str)
ContactId = NewType("ContactId", str)
WorkflowId = NewType("WorkflowId", str)
EnrollmentId = NewType("EnrollmentId", str)
GoalId = NewType("GoalId", UUID)
AchievementId = NewType("AchievementId", UUID)
