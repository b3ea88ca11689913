/** A version of a model as TorchServe's management API describes it (docs/management_api.md of pytorch/serve). */
import type { Variant } from '../../../../serving/variant.ts'
import type { SlotStatus } from '../../../../engine/slot.ts'

export function describeModel(variant: Variant): object {
  const { subject, loaded, spec } = variant
  const { instances } = variant.status()
  const serving = loaded?.serving
  return {
    modelName: subject.endpoint,
    modelVersion: subject.version,
    modelUrl: spec.path,
    runtime: loaded?.signature.platform ?? '',
    minWorkers: serving?.instances ?? 0,
    maxWorkers: serving?.instances ?? 0,
    ...(serving !== undefined && {
      batchSize: serving.maxBatchSize,
      maxBatchDelay: serving.maxDelayUs / 1000,
      responseTimeout: serving.runTimeoutMs / 1000,
    }),
    loadedAtStartup: !variant.onDemand,
    workers: instances.map(describeWorker),
    ...(loaded !== undefined && {
      jobQueueStatus: {
        remainingCapacity: Math.max(0, loaded.serving.queueRequests - loaded.scheduler.queued),
        pendingRequests: loaded.scheduler.queued,
      },
    }),
  }
}

function describeWorker({ name, state, memoryBytes = 0 }: SlotStatus): object {
  return { id: name, status: state === 'ready' ? 'READY' : 'UNLOADED', memoryUsage: memoryBytes, gpu: false }
}
