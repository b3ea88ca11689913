import { createHmac } from 'node:crypto'
import { toJson } from '../../tensor/json-writer.ts'
import type { Signature } from '../../signature/signature.ts'
import type { Loaded } from '../variant.ts'

/** Treatment of a field of a record; a field without one is kept as it is. */
export type Redaction = 'drop' | 'hash'

/** The parts of a loaded model that say what its records must not have. */
export interface Marked extends Pick<Loaded, 'signature' | 'serving'> {
  readonly package: { readonly document: Pick<Loaded['package']['document'], 'inputs'> }
}

/** Treatments by the name of the field: what the package marks, and what the serving options add. `drop` wins over `hash`. */
export function redactionsOf({ signature, serving, package: { document } }: Marked): ReadonlyMap<string, Redaction> {
  const { recordsDrop, recordsHash } = serving
  const found = new Map<string, Redaction>()
  const add = (name: string, redaction: Redaction | undefined): void => {
    if (redaction !== undefined && found.get(name) !== 'drop') found.set(name, redaction)
  }
  for (const { spec } of recordedFeatures(signature) ?? []) add(spec.name, spec.sensitive)
  for (const input of document.inputs ?? []) {
    add(input.name, input.sensitive)
    // The mark of an input goes for every feature that is part of it.
    for (const { spec, input: index } of recordedFeatures(signature) ?? [])
      if (signature.inputs[index]!.name === input.name) add(spec.name, input.sensitive)
  }
  for (const name of recordsHash) add(name, 'hash')
  for (const name of recordsDrop) add(name, 'drop')
  return found
}

/** Features that records have: those of texts are kept as the inputs that they were made into. */
function recordedFeatures({ features, text }: Signature): Signature['features'] {
  return text === undefined ? features : undefined
}

/** Names in `recordsDrop` and `recordsHash` that no field of the model has. */
export function unknownFields({ signature, serving }: Pick<Marked, 'signature' | 'serving'>): string[] {
  const inputs = recordedFeatures(signature)?.map(({ spec }) => spec.name) ?? signature.inputs.map(({ name }) => name)
  const known = new Set([...inputs, ...signature.outputs.map(({ name }) => name)])
  return [...serving.recordsDrop, ...serving.recordsHash].filter((name) => !known.has(name))
}

const DIGEST_CHARACTERS = 22

/** Digest of a value (HMAC-SHA-256 of its JSON, 128 bits of it as base64url): equal values have equal ones, and only the key tells which. */
export function digestOf(value: unknown, key: Uint8Array): string {
  return `hmac:${createHmac('sha256', key).update(toJson(value)).digest('base64url').slice(0, DIGEST_CHARACTERS)}`
}
