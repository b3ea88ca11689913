import { unmetGates } from '../models/unmet-gates.ts'
import { requireModel } from '../models/models.ts'
import { requireVersion } from '../models/read-versions.ts'
import type { Kysely } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { OfModel } from './rollout.ts'

/** Gates that a version has not passed yet, each with what it waits for. @throws SLW_NOT_FOUND for a version that is gone */
export async function waitingFor(
  read: Kysely<Schema>,
  environment: string,
  { model, version }: OfModel,
  gates: readonly string[],
): Promise<{ readonly gate: string; readonly waitsFor: string }[]> {
  if (gates.length === 0) return []
  const row = await requireVersion(read, await requireModel(read, { environment, actor: 'slipway' }, model), version)
  return await unmetGates(read, { model, version: row, gates })
}
