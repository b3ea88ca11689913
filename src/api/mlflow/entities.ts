/** The entities of the services in the JSON of MLflow: snake_case, times as numbers, absent values left out. */
import type { Experiment } from '../../tracking/experiments.ts'
import type { Tag } from '../../ledger/tags.ts'
import type { LoggedModel } from '../../tracking/logged-models.ts'
import type { Model } from '../../models/models.ts'
import type { DatasetUse, MetricPoint, Run } from '../../tracking/read-runs.ts'
import type { VersionSummary } from '../../models/read-versions.ts'

export function experimentJson(experiment: Experiment): object {
  return {
    experiment_id: experiment.id,
    name: experiment.name,
    artifact_location: experiment.artifactLocation,
    lifecycle_stage: experiment.lifecycleStage,
    workspace: experiment.environment,
    last_update_time: experiment.updatedAt,
    creation_time: experiment.createdAt,
    ...listed('tags', experiment.tags),
  }
}

export function runInfoJson(run: Run): object {
  return {
    run_uuid: run.id,
    run_id: run.id,
    run_name: run.name,
    experiment_id: run.experimentId,
    user_id: run.userId,
    status: run.status,
    start_time: run.startTime,
    end_time: run.endTime,
    artifact_uri: run.artifactUri,
    lifecycle_stage: run.lifecycleStage,
  }
}

export function runJson(run: Run): object {
  return {
    info: runInfoJson(run),
    data: { ...listed('metrics', run.metrics.map(metricJson)), ...listed('params', run.params), ...listed('tags', run.tags) },
    inputs: {
      ...listed('dataset_inputs', run.datasets.map(datasetUseJson)),
      ...listed(
        'model_inputs',
        run.inputModels.map(({ modelId }) => ({ model_id: modelId })),
      ),
    },
    outputs: listed(
      'model_outputs',
      run.outputModels.map(({ modelId, step }) => ({ model_id: modelId, step })),
    ),
  }
}

function datasetUseJson({ dataset, tags }: DatasetUse): object {
  const { name, digest, sourceType, source, schema, profile } = dataset
  return { ...listed('tags', tags), dataset: { name, digest, source_type: sourceType, source, schema, profile } }
}

export function metricJson({ key, value, timestamp, step }: MetricPoint): object {
  return { key, value: Number.isNaN(value) ? 'NaN' : value, timestamp, step }
}

export function loggedModelJson(model: LoggedModel): object {
  return { model: bareLoggedModelJson(model) }
}

/** A logged model as it stands in a list. */
export function bareLoggedModelJson(model: LoggedModel): object {
  return {
    info: {
      model_id: model.id,
      experiment_id: model.experimentId,
      name: model.name,
      creation_timestamp_ms: model.createdAt,
      last_updated_timestamp_ms: model.updatedAt,
      artifact_uri: model.artifactUri,
      status: model.status,
      model_type: model.modelType === '' ? undefined : model.modelType,
      source_run_id: model.sourceRunId === '' ? undefined : model.sourceRunId,
      ...listed('tags', model.tags),
    },
    data: {
      ...listed('params', model.params),
      ...listed(
        'metrics',
        model.metrics.map((metric) => ({
          ...metricJson(metric),
          model_id: model.id,
          run_id: metric.runId,
          dataset_name: metric.datasetName === '' ? undefined : metric.datasetName,
          dataset_digest: metric.datasetDigest === '' ? undefined : metric.datasetDigest,
        })),
      ),
    },
  }
}

/** The size of a file that is not empty: protobuf leaves out zeros. */
export function sizeJson(size: number | undefined): object {
  return size === undefined || size === 0 ? {} : { file_size: size }
}

export function modelJson(model: Model): object {
  return {
    name: model.name,
    creation_timestamp: model.createdAt,
    last_updated_timestamp: model.updatedAt,
    description: model.description,
    ...listed('latest_versions', model.latestVersions.map(versionJson)),
    ...listed('tags', model.tags),
    ...listed(
      'aliases',
      model.aliases.map(({ alias, version }) => ({ alias, version: String(version) })),
    ),
  }
}

export function versionJson(version: VersionSummary): object {
  return {
    name: version.model,
    version: String(version.number),
    creation_timestamp: version.createdAt,
    last_updated_timestamp: version.updatedAt,
    current_stage: version.stage,
    description: version.description ?? '',
    source: version.source,
    run_id: version.runId,
    run_link: version.runLink ?? '',
    status: version.status,
    status_message: version.statusMessage,
    model_id: version.loggedModelId,
    ...listed('tags', version.tags),
    ...listed('aliases', version.aliases),
  }
}

/** Protobuf leaves empty lists out. */
export function listed(name: string, items: readonly (object | string | Tag)[]): object {
  return items.length === 0 ? {} : { [name]: items }
}
