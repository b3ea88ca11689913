/** The objects of the registry in the JSON of `/api/v1`. */
import { tagRecord } from '../../ledger/tags.ts'
import type { ExperimentAnswer, ModelAnswer, RunAnswer, VersionAnswer } from '../../contract/registry-api.ts'
import type { Experiment } from '../../tracking/experiments.ts'
import type { Tag } from '../../ledger/tags.ts'
import type { Principal } from '../access.ts'
import type { Model } from '../../models/models.ts'
import type { Run } from '../../tracking/read-runs.ts'
import type { Version } from '../../models/read-versions.ts'

/** @param caller whose allowed actions are listed */
export function modelAnswer(model: Model, caller?: Principal): ModelAnswer {
  const newest = Math.max(0, ...model.latestVersions.map(({ number }) => number))
  return {
    id: model.id,
    environment: model.environment,
    name: model.name,
    ...(model.description !== undefined && { description: model.description }),
    tags: tagRecord(model.tags),
    aliases: Object.fromEntries(model.aliases.map(({ alias, version }) => [alias, version])),
    protectedAliases: [...model.protectedAliases],
    policy: model.policy,
    ...(newest > 0 && { latestVersion: newest }),
    resourceVersion: model.resourceVersion,
    createdAt: model.createdAt,
    updatedAt: model.updatedAt,
    ...(caller !== undefined && { actions: caller.actions({ environment: model.environment, models: [model.name] }) }),
  }
}

export function versionAnswer(version: Version): VersionAnswer {
  const { description, location, digest, size, servableReason, signature, examples, approvalBy, approvalReason, approvalAt } = version
  return {
    id: version.id,
    model: version.model,
    version: version.number,
    ...(description !== undefined && { description }),
    tags: tagRecord(version.tags),
    aliases: [...version.aliases],
    source: version.source,
    ...(location !== undefined && { location }),
    ...(digest !== undefined && { digest }),
    ...(size !== undefined && { size }),
    servable: version.servable ? 'yes' : 'no',
    ...(servableReason !== undefined && { servableReason }),
    approval: {
      state: version.approval,
      ...(approvalBy !== undefined && { by: approvalBy }),
      ...(approvalReason !== undefined && { reason: approvalReason }),
      ...(approvalAt !== undefined && { at: approvalAt }),
    },
    gates: [...version.gates],
    provenance: version.provenance,
    ...(signature !== undefined && { signature }),
    metrics: version.metrics,
    ...(examples !== undefined && { examples: { rows: [...examples.rows], golden: [...examples.golden] } }),
    scan: [...version.scan],
    stage: version.stage,
    resourceVersion: version.resourceVersion,
    createdBy: version.createdBy,
    createdAt: version.createdAt,
    updatedAt: version.updatedAt,
  }
}

export function experimentAnswer(experiment: Experiment): ExperimentAnswer {
  const { id, environment, name, artifactLocation, lifecycleStage, tags, createdAt, updatedAt } = experiment
  return { id, environment, name, artifactLocation, lifecycleStage, tags: tagRecord(tags), createdAt, updatedAt }
}

export function runAnswer(run: Run): RunAnswer {
  const { id, experimentId, name, userId, status, startTime, endTime, artifactUri, lifecycleStage } = run
  return {
    id,
    experimentId,
    name,
    user: userId,
    status,
    ...(startTime !== undefined && { startTime }),
    ...(endTime !== undefined && { endTime }),
    artifactUri,
    lifecycleStage,
    metrics: Object.fromEntries(run.metrics.map(({ key, value }) => [key, Number.isNaN(value) ? 'NaN' : value])),
    params: tagRecord(run.params),
    tags: tagRecord(run.tags),
  }
}

/** Tags in the order of their keys. */
export function tagsOf(tags: Readonly<Record<string, string>> | undefined): Tag[] {
  return Object.entries(tags ?? {}).map(([key, value]) => ({ key, value }))
}
