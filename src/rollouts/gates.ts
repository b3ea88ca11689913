import type { Kysely } from 'kysely'
import type { Schema } from '../storage/sql/schema.ts'
import type { OfModel } from './rollout.ts'

/** Gates that a version has not passed yet, each with what it waits for. */
export async function unmetGates(
  read: Kysely<Schema>,
  environment: string,
  { model, version }: OfModel,
  gates: readonly string[],
): Promise<{ readonly gate: string; readonly waitsFor: string }[]> {
  if (gates.length === 0) return []
  const row = await read
    .selectFrom('versions')
    .innerJoin('models', 'models.id', 'versions.model_id')
    .select('approval')
    .where('environment', '=', environment)
    .where('models.name', '=', model)
    .where('number', '=', Number(version))
    .where('models.deleted_at', 'is', null)
    .executeTakeFirst()
  return gates.flatMap((gate) =>
    gate === 'approval' && row?.approval !== 'approved'
      ? [
          {
            gate,
            waitsFor: `approval of ${model}/${version}, by somebody with the scope protect: slipway model approve ${model}/${version}`,
          },
        ]
      : [],
  )
}
