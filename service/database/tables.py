"""The tables. A change here needs a migration in `migrations/versions`; a test compares the two."""

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

models = Table(
    "models",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("digest", String(64), nullable=False),
    Column("frozen_sha256", String(64), nullable=False),
    Column("correction_enabled", Boolean, nullable=False),
)

versions = Table(
    "versions",
    metadata,
    Column("frozen_sha256", String(64), nullable=False),
    Column("number", Integer, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("domain", String(63), nullable=False),
    Column("job_id", String(32), nullable=True),
    Column("decision", String(16), nullable=False),
    Column("method", String(63), nullable=False),
    Column("created_at", Float, nullable=False),
    PrimaryKeyConstraint("frozen_sha256", "number"),
    UniqueConstraint("job_id", name="one_version_per_job"),
)

domains = Table(
    "domains",
    metadata,
    Column("model", String(63), ForeignKey("models.name"), nullable=False),
    Column("name", String(63), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("canary_share", Float, nullable=False),
    Column("champion", Integer, nullable=False),
    Column("shadow", Integer, nullable=True),
    Column("previous", Integer, nullable=True),
    Column("generation", Integer, nullable=False),
    PrimaryKeyConstraint("model", "name"),
)

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("model", String(63), nullable=False),
    Column("domain", String(63), nullable=False),
    Column("method", String(63), nullable=False),
    Column("state", String(24), nullable=False),
    Column("seed", Integer, nullable=False),
    Column("images", Integer, nullable=False),
    Column("frozen_sha256", String(64), nullable=False),
    Column("batch_sha256", String(64), nullable=False),
    Column("body_sha256", String(64), nullable=False),
    Column("idempotency_key", String(64), nullable=True),
    Column("attempt", Integer, nullable=False),
    Column("generation", Integer, nullable=True),
    Column("progress", Float, nullable=False),
    Column("step", String(64), nullable=False),
    Column("verdict", Text, nullable=True),
    Column("version", Integer, nullable=True),
    Column("problem", Text, nullable=True),
    Column("timings", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("finished_at", Float, nullable=True),
    UniqueConstraint("idempotency_key", name="one_job_per_key"),
    Index("jobs_by_state", "state"),
    Index("jobs_by_domain", "model", "domain"),
)

job_events = Table(
    "job_events",
    metadata,
    Column("job_id", String(32), ForeignKey("jobs.id"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("data", Text, nullable=False),
    PrimaryKeyConstraint("job_id", "number"),
)

keys = Table(
    "keys",
    metadata,
    Column("id", String(16), primary_key=True),
    Column("name", String(63), nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("scopes", Text, nullable=False),
    Column("domains", Text, nullable=True),
    Column("predict_per_s", Float, nullable=True),
    Column("adapt_per_h", Float, nullable=True),
    Column("created_at", Float, nullable=False),
    Column("expires_at", Float, nullable=True),
    Column("revoked_at", Float, nullable=True),
    UniqueConstraint("name", name="one_key_per_name"),
)
