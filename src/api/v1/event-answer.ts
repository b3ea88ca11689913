import type { EventAnswer } from '../../contract/registry-api.ts'
import type { RegistryEvent } from '../../ledger/history.ts'

export function eventAnswer({ reason, before, after, ...event }: RegistryEvent): EventAnswer {
  return {
    ...event,
    ...(reason !== undefined && { reason }),
    ...(before !== undefined && { before }),
    ...(after !== undefined && { after }),
  }
}
