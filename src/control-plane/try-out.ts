import { loadModel } from '../library/load-model.ts'
import { describeSignature } from '../signature/describe-signature.ts'
import type { SignatureDocument } from '../contract/signature-document.ts'

/** Limits of trying a model: a process of its own, with limited memory and run time, that comes after others where cores are short. */
const LIMITS = { isolation: 'process', instances: 1, memoryLimitMb: 4096, runTimeoutMs: 30_000, background: true } as const

/**
 * Loads a model in a process of its own, warms it and asks its golden examples, as a server would.
 * @param signal ends it
 * @returns the findings, in words, and the signature that its answers have shown to hold
 * @throws as loadModel
 */
export async function tryOut(folder: string, signal: AbortSignal): Promise<{ detail: string; signature: SignatureDocument }> {
  await using model = await loadModel(folder, { ...LIMITS, name: 'model', signal })
  const { probe } = model.details
  const golden = model.details.package.document.golden?.length ?? 0
  const batches = probe.batchable ? 'takes several rows at once' : 'takes one request at a time'
  const detail = `loads and runs, ${batches}${golden > 0 ? `, ${golden} golden examples answered as expected` : ''}`
  return { detail, signature: describeSignature(model.signature) }
}
