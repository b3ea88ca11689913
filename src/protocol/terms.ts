import { SlipwayError } from '../core/errors.ts'
import { requireModel, requireScope } from './http/access.ts'
import { UNIT_MAX } from './http/facts.ts'
import { priorityOf } from './priority.ts'
import type { Facts } from '../contract/audience.ts'
import type { KeyHolder } from '../security/api-keys.ts'
import type { Terms } from '../serving/caller.ts'
import type { ModelAddress } from './http/dialects/dialect.ts'

/** Who asks, and by which ids. */
export interface Asker {
  /** Holder of the API key of the request; undefined where no keys are set. */
  readonly caller: KeyHolder | undefined
  readonly requestId: string
  readonly predictionId: string
}

/**
 * The terms of a request by its headers, over HTTP and as metadata of gRPC: `slipway-variant`, `slipway-unit`, `slipway-priority`,
 * `slipway-timeout-ms`.
 * @throws SLW_FORBIDDEN for a model or a variant that the key is not for, SLW_BAD_REQUEST for headers that cannot be understood
 */
export function termsOf(facts: Facts, { name, version }: ModelAddress, { caller, requestId, predictionId }: Asker): Terms {
  if (caller !== undefined) requireModel(caller, name)
  const forced = facts.header('slipway-variant')
  const unit = facts.header('slipway-unit')
  if (unit !== undefined && unit.length > UNIT_MAX)
    throw new SlipwayError('SLW_BAD_REQUEST', `header slipway-unit: ${unit.length} characters; a unit has up to ${UNIT_MAX}`)
  // Where keys are asked for, only that of a tester chooses.
  if (forced !== undefined && caller !== undefined) requireScope(caller, 'test')
  return {
    endpoint: name,
    version,
    unit: unit === '' ? undefined : unit,
    forced,
    givenId: requestId === predictionId ? undefined : requestId,
    facts,
    priority: priorityOf(facts.header('slipway-priority'), 'header slipway-priority'),
    timeoutMs: timeoutOf(facts.header('slipway-timeout-ms')),
  }
}

function timeoutOf(header: string | undefined): number | undefined {
  if (header === undefined) return undefined
  const ms = Number(header)
  if (header !== '' && ms > 0) return ms
  throw new SlipwayError('SLW_BAD_REQUEST', `header slipway-timeout-ms: expected milliseconds above 0, got "${header}"`)
}
