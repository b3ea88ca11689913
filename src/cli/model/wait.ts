import { setTimeout as pause } from 'node:timers/promises'
import { SlipwayError } from '../../core/errors.ts'
import { parseDurationMs } from '../../core/units.ts'
import { note } from '../output.ts'
import type { ServedAnswer } from '../../contract/registry-api.ts'
import type { RegistryClient } from '../control-plane/client.ts'

const POLL_MS = 200

/** Waits until the local server of the control plane answers with a version. @throws SLW_DEADLINE_EXCEEDED with the reason, where known */
export async function waitUntilServed(client: RegistryClient, wanted: { model: string; version: number }, limit: string): Promise<void> {
  const end = Date.now() + parseDurationMs(limit, '--wait')
  for (;;) {
    const { items, url } = await client.ask<{ items: ServedAnswer[]; url?: string }>('/serving')
    const found = items.find(({ model }) => model === wanted.model)
    if (found?.version === wanted.version && found.state === 'ready') {
      note(`\n${wanted.model}/${wanted.version} is served: curl -d '{...}' ${url ?? ''}/models/${wanted.model}/predict`)
      return
    }
    if (found?.version === wanted.version && found.state === 'refused')
      throw new SlipwayError('SLW_MODEL_UNSUPPORTED', `${wanted.model}/${wanted.version} is not served: ${found.reason ?? ''}`)
    if (Date.now() > end)
      throw new SlipwayError(
        'SLW_DEADLINE_EXCEEDED',
        `${wanted.model}/${wanted.version} is not served after ${limit}: ${url === undefined ? 'the control plane has no local server' : (found?.reason ?? found?.state ?? 'nothing is known of it')}`,
      )
    await pause(POLL_MS)
  }
}
